import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { rollback } from "./Boundary.ts"
import type { Means, Run } from "./Call.ts"
import * as Pooled from "./Pooled.ts"
import * as Query from "./Query.ts"
import * as Reserved from "./Reserved.ts"
import * as Streaming from "./Streaming.ts"
import * as Writes from "./Writes.ts"

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

/** @effect/sql's connection; `run` is the way round it. */
interface RunConnection extends Connection {
  readonly run: Run
}

const connectionOf = (run: Run, executeStream: Connection["executeStream"]): RunConnection => ({
  run,
  execute: (sql, params, transform) => Effect.map(run(Query.wanted(sql, params), Query.rowsOf), transform ?? identity),
  executeRaw: (sql, params) => run(Query.wanted(sql, params), identity),
  executeValues: (sql, params) => run(Query.wanted(sql, params, { arrays: true }), Query.rowsOf),
  executeUnprepared: (sql, params, transform) =>
    Effect.map(run(Query.wanted(sql, params, { prepare: false }), Query.rowsOf), transform ?? identity),
  executeStream
})

/** A commit that the server refuses, or that nobody answers, is the transaction's failure and not a defect. */
const failWithSqlError = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
  Effect.catchSomeDefect(effect, (defect) =>
    defect instanceof SqlError ? Option.some(Effect.fail(defect)) : Option.none()
  )

/** @effect/sql's client over the pool, every statement observed. `database` names it in traces. */
export const make = (means: Means, writes: Writes.Writes, database: string): Effect.Effect<SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const pooled = Pooled.run(means)
    const reserve = (restore: Reserved.Restore) => Effect.map(Reserved.reserve(means, restore), ({ run }) => run)
    const reserved = reserve(Effect.interruptible)
    const within = (run: Run) => connectionOf(run, Streaming.within(run))
    const spanAttributes = [
      ["db.system.name", "postgresql"],
      ["db.namespace", database]
    ] as const
    const client = yield* SqlClient.make({
      acquirer: Effect.succeed(connectionOf(pooled, Streaming.own(reserved))),
      transactionAcquirer: Effect.map(reserved, within),
      compiler,
      spanAttributes
    })
    const control = (sql: string) => (connection: Connection) => connection.executeUnprepared(sql, [], undefined)
    // @effect/sql's own begins uninterruptibly: a server that says nothing would hold whoever begins.
    const transaction = (restore: Reserved.Restore) =>
      SqlClient.makeWithTransaction({
        transactionTag: SqlClient.TransactionConnection,
        spanAttributes,
        acquireConnection: Effect.flatMap(Scope.make(), (scope) =>
          Effect.map(Scope.extend(reserve(restore), scope), (run) => [scope, within(run)] as const)
        ),
        begin: (connection) => restore(control("BEGIN")(connection)),
        savepoint: (connection, id) => control(`SAVEPOINT connect_${id}`)(connection),
        commit: control("COMMIT"),
        rollback: control(rollback),
        rollbackSavepoint: (connection, id) => control(`${rollback} TO SAVEPOINT connect_${id}`)(connection)
      })
    const interruptible = transaction(Effect.interruptible)
    const uninterruptible = transaction(identity)
    return Query.templates(
      Object.assign(client, {
        withTransaction: <R, E, A>(effect: Effect.Effect<A, E, R>) =>
          Writes.together(
            writes,
            failWithSqlError(Effect.checkInterruptible((is) => (is ? interruptible : uninterruptible)(effect)))
          )
      }),
      { pooled, runOf: (connection) => (connection as Partial<RunConnection>).run }
    )
  }).pipe(Effect.provide(Reactivity.layer))
