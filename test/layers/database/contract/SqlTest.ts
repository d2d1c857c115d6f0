import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Database } from "../../../../src/database/Database.ts"

/** Declares a test of the driver at hand. */
export type SqlTest = (
  title: string,
  body: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown, Database>
) => void

/** The table `things`, anew. */
export const table = (sql: SqlClient.SqlClient, columns: string) =>
  Effect.gen(function* () {
    yield* sql.unsafe("drop table if exists things")
    yield* sql.unsafe(`create table things (${columns})`)
  })

/** Looks every 2 ms until it is so. */
export const until = <A, E, R>(look: Effect.Effect<A, E, R>, is: (a: A) => boolean) =>
  Effect.repeat(look, { until: is, schedule: Schedule.spaced("2 millis") }).pipe(Effect.timeout("5 seconds"))
