import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { DriverConnection, DriverResult, DriverStatement, Outcome } from "./Driver.ts"
import type { Observer } from "./Observer.ts"
import { encode } from "./Parameters.ts"
import type { Pool } from "./Pool.ts"
import { sqlState } from "./SqlErrors.ts"

/** Rows that a stream reads in one go. */
export const streamRows = 256

type Run = (statement: DriverStatement) => Effect.Effect<DriverResult, SqlError>

const compiler = Statement.makeCompiler({
  dialect: "pg",
  placeholder: (index) => `$${index}`,
  onIdentifier: Statement.defaultEscape('"'),
  onRecordUpdate: (placeholders, alias, columns, values, returning) => [
    `(values ${placeholders}) as ${alias}${columns}${returning === undefined ? "" : ` returning ${returning[0]}`}`,
    returning === undefined ? values.flat() : values.flat().concat(returning[1])
  ],
  onCustom: () => ["", []]
})

const statement = (
  sql: string,
  params: ReadonlyArray<unknown>,
  changes?: Partial<DriverStatement>
): DriverStatement => ({
  sql,
  params: params.map(encode),
  arrays: false,
  prepare: true,
  ...changes
})

/** @effect/sql types its rows `any` here; the caller of `sql<Row>` names what they are. */
// oxlint-disable-next-line typescript/no-explicit-any
const rowsOf = (result: DriverResult): ReadonlyArray<any> => result.rows

const connectionOf = (run: Run, stream: Connection["executeStream"]): Connection => ({
  execute: (sql, params, transform) =>
    Effect.map(run(statement(sql, params)), (result) =>
      transform === undefined ? rowsOf(result) : transform(rowsOf(result))
    ),
  executeRaw: (sql, params) => run(statement(sql, params)),
  executeValues: (sql, params) => Effect.map(run(statement(sql, params, { arrays: true })), rowsOf),
  executeUnprepared: (sql, params, transform) =>
    Effect.map(run(statement(sql, params, { prepare: false })), (result) =>
      transform === undefined ? rowsOf(result) : transform(rowsOf(result))
    ),
  executeStream: stream
})

/** Plans that the server no longer has or can no longer use: the connection is not worth keeping. */
const spoiled = (outcome: Outcome<DriverResult>): boolean => {
  if (Either.isRight(outcome)) return false
  const state = sqlState(outcome.left)
  return state === "0A000" || state === "26000"
}

/** A statement on whichever connection is free. An interrupted caller leaves at once, waiting or running. */
const runPooled =
  (pool: Pool): Run =>
  (wanted) =>
    Effect.async((resume) => {
      let leave: () => void = () => {}
      let left = false
      const withdraw = pool.acquire((granted) => {
        if (Either.isLeft(granted)) return resume(Either.left(granted.left))
        const connection = granted.right
        if (left) return pool.release(connection)
        const cancel = connection.run(wanted, (outcome) => {
          leave = () => {}
          if (spoiled(outcome)) pool.discard(connection)
          else pool.release(connection)
          if (!left) resume(outcome)
        })
        leave = () => {
          pool.abandon(connection)
          cancel()
        }
      })
      return Effect.sync(() => {
        left = true
        if (!withdraw()) leave()
      })
    })

const rollback = "ROLLBACK"

/** Statements of one transaction: one after the other on a connection of their own. */
class Reserved {
  readonly pool: Pool
  readonly connection: DriverConnection
  readonly queue: Array<() => void> = []
  running = false
  /** A statement was cancelled and the transaction with it; the server rolls back when the connection ends. */
  lost = false
  ended = false

  constructor(pool: Pool, connection: DriverConnection) {
    this.pool = pool
    this.connection = connection
  }

  readonly run: Run = (wanted) =>
    Effect.async((resume) => {
      if (wanted.sql === rollback && (this.running || !this.connection.isOpen())) {
        this.lost = true
        return resume(Effect.succeed({ rows: [], affected: 0 }))
      }
      let left = false
      let cancel: (() => void) | undefined
      const start = () => {
        this.running = true
        cancel = this.connection.run(wanted, (outcome) => {
          this.running = false
          cancel = undefined
          this.next()
          if (!left) resume(outcome)
        })
      }
      if (this.running) this.queue.push(start)
      else start()
      return Effect.sync(() => {
        left = true
        const index = this.queue.indexOf(start)
        if (index >= 0) this.queue.splice(index, 1)
        else cancel?.()
      })
    })

  /** The end of the transaction. A cancelled statement may still be on its way out. */
  readonly release = (): void => {
    this.ended = true
    if (this.running) this.pool.abandon(this.connection)
    else this.giveBack()
  }

  giveBack(): void {
    if (this.lost) this.pool.discard(this.connection)
    else this.pool.release(this.connection)
  }

  next(): void {
    const start = this.queue.shift()
    if (start !== undefined) return start()
    if (this.ended) this.giveBack()
  }
}

/** Waits for a connection interruptibly even where @effect/sql begins a transaction, which it does uninterruptibly. */
const reserve = (pool: Pool): Effect.Effect<Reserved, SqlError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.interruptible(
      Effect.async<DriverConnection, SqlError>((resume) => {
        let granted: DriverConnection | undefined
        let left = false
        const withdraw = pool.acquire((outcome) => {
          if (Either.isRight(outcome) && left) return pool.release(outcome.right)
          if (Either.isRight(outcome)) granted = outcome.right
          resume(outcome)
        })
        return Effect.sync(() => {
          left = true
          if (!withdraw() && granted !== undefined) pool.release(granted)
        })
      })
    ).pipe(Effect.map((connection) => new Reserved(pool, connection))),
    (reserved) => Effect.sync(reserved.release)
  )

/** Reads through a cursor, so that a long result never stands in memory as a whole. Needs a transaction. */
const cursor = (run: Run, sql: string, params: ReadonlyArray<unknown>): Stream.Stream<unknown, SqlError> => {
  const name = "connect_stream"
  const fetch = run(statement(`fetch ${streamRows} from ${name}`, [], { prepare: false }))
  return Stream.unwrap(
    Effect.as(
      run(statement(`declare ${name} no scroll cursor for ${sql}`, params, { prepare: false })),
      Stream.paginateChunkEffect(undefined, () =>
        Effect.map(fetch, ({ rows }) => [
          Chunk.unsafeFromArray(rows),
          rows.length < streamRows ? Option.none() : Option.some(undefined)
        ])
      ).pipe(Stream.ensuring(Effect.ignore(run(statement(`close ${name}`, [], { prepare: false })))))
    )
  )
}

const streamPooled =
  (pool: Pool): Connection["executeStream"] =>
  (sql, params) =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const { run } = yield* reserve(pool)
        yield* Effect.acquireRelease(run(statement("begin read only", [], { prepare: false })), (_, exit) =>
          Effect.ignore(run(statement(Exit.isSuccess(exit) ? "commit" : rollback, [], { prepare: false })))
        )
        return cursor(run, sql, params)
      })
    )

/** A commit that the server refuses, or that nobody answers, is the transaction's failure and not a defect. */
const failWithSqlError = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
  Effect.catchSomeDefect(effect, (defect) =>
    defect instanceof SqlError ? Option.some(Effect.fail(defect)) : Option.none()
  )

/** @effect/sql's client over the pool, every statement observed. */
export const make = (pool: Pool, observer: Observer, database: string): Effect.Effect<SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const pooled = observer.wrap(connectionOf(runPooled(pool), streamPooled(pool)))
    const client = yield* SqlClient.make({
      acquirer: Effect.succeed(pooled),
      transactionAcquirer: Effect.map(reserve(pool), ({ run }) =>
        observer.wrap(connectionOf(run, (sql, params) => cursor(run, sql, params)))
      ),
      compiler,
      spanAttributes: [
        ["db.system.name", "postgresql"],
        ["db.namespace", database]
      ],
      rollback
    })
    const { withTransaction } = client
    return Object.assign(client, {
      withTransaction: <R, E, A>(effect: Effect.Effect<A, E, R>) => failWithSqlError(withTransaction(effect))
    })
  }).pipe(Effect.provide(Reactivity.layer))
