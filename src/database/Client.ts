import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { DriverConnection, DriverResult, DriverStatement, Outcome, Run } from "./Driver.ts"
import type { Observer, Watch } from "./Observer.ts"
import { encode } from "./Parameters.ts"
import type { Pool } from "./Pool.ts"
import { currentQueryCount } from "./QueryCount.ts"
import { sqlState } from "./SqlErrors.ts"
import * as Streaming from "./Streaming.ts"

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
): DriverStatement => ({ sql, params: params.map(encode), arrays: false, prepare: true, ...changes })

/** @effect/sql types its rows `any` here; the caller of `sql<Row>` names what they are. */
// oxlint-disable-next-line typescript/no-explicit-any
const rowsOf = (result: DriverResult): ReadonlyArray<any> => result.rows

const connectionOf = (run: Run, executeStream: Connection["executeStream"]): Connection => ({
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
  executeStream
})

/**
 * Whether the connection is not worth keeping: it broke, the server is ending it (it still looks open then), or it holds
 * plans that the server can no longer use.
 */
const spoiled = (outcome: Outcome<DriverResult>): boolean => {
  if (Either.isRight(outcome)) return false
  const state = sqlState(outcome.left)
  return state === undefined || /^(08|57P|0A000|26000)/.test(state)
}

/** One suspension for a statement under observation. `register` returns what an interruption does. */
const observed = (
  observer: Observer,
  { sql }: DriverStatement,
  register: (watch: Watch, resume: (effect: Effect.Effect<DriverResult, SqlError>) => void) => () => void
): Effect.Effect<DriverResult, SqlError> =>
  Effect.withFiberRuntime((fiber) => {
    const watch = observer.watch(sql, fiber.getFiberRef(currentQueryCount))
    return Effect.async((resume) => {
      const leave = register(watch, resume)
      return Effect.sync(() => {
        watch.leave()
        leave()
      })
    })
  })

/** A statement on whichever connection is free. An interrupted caller leaves at once, waiting or running. */
const runPooled =
  (pool: Pool, observer: Observer): Run =>
  (wanted) =>
    observed(observer, wanted, (watch, resume) => {
      let interrupt: () => void = () => {}
      const withdraw = pool.acquire((granted) => {
        if (Either.isLeft(granted)) return resume(watch.end(Either.left(granted.left)))
        const connection = granted.right
        watch.begin()
        const cancel = connection.run(wanted, (outcome) => {
          interrupt = () => {}
          if (spoiled(outcome)) pool.discard(connection)
          else pool.release(connection)
          resume(watch.end(outcome))
        })
        interrupt = () => pool.abandon(connection, cancel)
      })
      return () => {
        if (!withdraw()) interrupt()
      }
    })

const rollback = "ROLLBACK"

/** Statements of one transaction: one after the other on a connection of their own. */
class Reserved {
  readonly pool: Pool
  readonly observer: Observer
  readonly connection: DriverConnection
  readonly queue: Array<() => void> = []
  running = false
  cancel: () => void = () => {}
  /** A statement was cancelled and the transaction with it; the server rolls back when the connection ends. */
  lost = false
  ended = false

  constructor(pool: Pool, observer: Observer, connection: DriverConnection) {
    this.pool = pool
    this.observer = observer
    this.connection = connection
  }

  readonly run: Run = (wanted) => {
    if (wanted.sql === rollback && this.giveUp()) return Effect.succeed({ rows: [], affected: 0 })
    return observed(this.observer, wanted, (watch, resume) => {
      let started = false
      const start = () => {
        started = true
        this.running = true
        watch.begin()
        this.cancel = this.connection.run(wanted, (outcome) => {
          this.running = false
          this.lost ||= spoiled(outcome)
          resume(watch.end(outcome))
          this.next()
        })
      }
      if (this.running) this.queue.push(start)
      else start()
      return () => {
        if (started) this.cancel()
        else this.queue.splice(this.queue.indexOf(start), 1)
      }
    })
  }

  /** Whether there is no use in a ROLLBACK: the connection is gone, or busy with what nobody waits for any more. */
  giveUp(): boolean {
    this.lost ||= this.running || !this.connection.isOpen()
    return this.lost
  }

  /** The end of the transaction. A cancelled statement may still be on its way out. */
  readonly release = (): void => {
    this.ended = true
    if (this.running) this.pool.abandon(this.connection, this.cancel)
    else this.giveBack()
  }

  giveBack(): void {
    if (this.lost) this.pool.discard(this.connection)
    else this.pool.release(this.connection)
  }

  next(): void {
    if (this.running) return
    const start = this.queue.shift()
    if (start !== undefined) return start()
    if (this.ended) this.giveBack()
  }
}

/** Waits for a connection interruptibly even where @effect/sql begins a transaction, which it does uninterruptibly. */
const reserve = (pool: Pool, observer: Observer): Effect.Effect<Reserved, SqlError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.interruptible(
      Effect.async<DriverConnection, SqlError>((resume) => {
        let granted: DriverConnection | undefined
        const withdraw = pool.acquire((outcome) => {
          if (Either.isRight(outcome)) granted = outcome.right
          resume(outcome)
        })
        return Effect.sync(() => {
          if (!withdraw() && granted !== undefined) pool.release(granted)
        })
      })
    ).pipe(Effect.map((connection) => new Reserved(pool, observer, connection))),
    (reserved) => Effect.sync(reserved.release)
  )

/** A commit that the server refuses, or that nobody answers, is the transaction's failure and not a defect. */
const failWithSqlError = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
  Effect.catchSomeDefect(effect, (defect) =>
    defect instanceof SqlError ? Option.some(Effect.fail(defect)) : Option.none()
  )

/** @effect/sql's client over the pool, every statement observed. `database` names it in traces. */
export const make = (pool: Pool, observer: Observer, database: string): Effect.Effect<SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const reserved = reserve(pool, observer)
    const client = yield* SqlClient.make({
      acquirer: Effect.succeed(
        connectionOf(runPooled(pool, observer), Streaming.own(Effect.map(reserved, ({ run }) => run)))
      ),
      transactionAcquirer: Effect.map(reserved, ({ run }) => connectionOf(run, Streaming.within(run))),
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
