import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { rollback } from "../../database/Boundary.ts"

/** Where the statements of one unit of work go. */
export interface Transaction {
  /** Statements of this effect belong to the transaction, which begins with the first of them. */
  readonly join: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Statements of this effect join the transaction if it has begun, otherwise each is one of its own. */
  readonly last: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/**
 * A transaction that costs nothing until somebody writes in it: most handlers only set their state, and one statement at
 * the end keeps that without a begin and a commit around it. Committed when `body` succeeds, rolled back otherwise. Its
 * effects run one at a time.
 */
export const run = <A, E, R>(
  sql: SqlClient.SqlClient,
  body: (transaction: Transaction) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Scope.make(), (scope) => {
      let begun: Option.Option<Connection> = Option.none()
      const open = Effect.suspend(() => {
        if (Option.isSome(begun)) return Effect.succeed(begun.value)
        return Effect.tap(Scope.extend(sql.reserve, scope), (connection) =>
          Effect.tap(connection.executeUnprepared("begin", [], undefined), () => {
            begun = Option.some(connection)
          })
        )
      })
      const lazy: Connection = {
        execute: (text, params, transform) => Effect.flatMap(open, (to) => to.execute(text, params, transform)),
        executeRaw: (text, params) => Effect.flatMap(open, (to) => to.executeRaw(text, params)),
        executeValues: (text, params) => Effect.flatMap(open, (to) => to.executeValues(text, params)),
        executeUnprepared: (text, params, transform) =>
          Effect.flatMap(open, (to) => to.executeUnprepared(text, params, transform)),
        executeStream: (text, params, transform) =>
          Stream.unwrap(Effect.map(open, (to) => to.executeStream(text, params, transform)))
      }
      const join: Transaction["join"] = Effect.provideService(SqlClient.TransactionConnection, [lazy, 0] as const)
      const last: Transaction["last"] = (effect) => Effect.suspend(() => (Option.isSome(begun) ? join(effect) : effect))
      const end = (exit: Exit.Exit<A, E>): Effect.Effect<A, E | SqlError> => {
        if (Option.isNone(begun)) return exit
        const finish = begun.value.executeUnprepared(Exit.isSuccess(exit) ? "commit" : rollback, [], undefined)
        return Exit.isSuccess(exit) ? Effect.zipRight(finish, exit) : Effect.zipRight(Effect.exit(finish), exit)
      }
      return Effect.exit(restore(body({ join, last }))).pipe(
        Effect.flatMap(end),
        Effect.onExit((exit) => Scope.close(scope, exit))
      )
    })
  )
