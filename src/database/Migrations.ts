import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { StartupError } from "../config/StartupError.ts"
import { core } from "./migrations/0001_core.ts"
import { actors } from "./migrations/0002_actors.ts"
import { cluster } from "./migrations/0003_cluster.ts"
import { versions } from "./migrations/0004_versions.ts"
import { shards } from "./migrations/0005_shards.ts"

/** One step of the schema. `sql` may hold several statements and never changes once it is released. */
export interface Migration {
  readonly id: number
  readonly name: string
  readonly sql: string
}

/** Every migration in order; a new one goes to the end with the next number. */
export const migrations: ReadonlyArray<Migration> = [
  { id: 1, name: "core", sql: core },
  { id: 2, name: "actors", sql: actors },
  { id: 3, name: "cluster", sql: cluster },
  { id: 4, name: "versions", sql: versions },
  { id: 5, name: "shards", sql: shards }
]

/** Key of the advisory lock that serialises the processes that migrate one database. */
export const lockKey = 7_266_433

export interface Options {
  /** Off on PGlite, which has one connection and where advisory locks are not to be trusted. */
  readonly lock: boolean
  readonly migrations?: ReadonlyArray<Migration>
}

const apply = (known: ReadonlyArray<Migration>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table if not exists migrations (id integer primary key, name text not null, at timestamptz not null)`
    const rows = yield* sql<{ id: number; name: string }>`select id, name from migrations order by id`
    const newest = rows.at(-1)
    const newestKnown = known.at(-1)?.id ?? 0
    if (newest !== undefined && newest.id > newestKnown)
      return yield* new StartupError({
        what: "The database was made by a newer version of this program",
        where: `it has migration ${newest.id} (${newest.name}), this version knows ${newestKnown}`,
        fix: "Start that version or a later one, or set DATABASE_URL (or DATA_DIR) to another database."
      })
    const done = new Set(rows.map(({ id }) => id))
    const missing = known.filter(({ id }) => !done.has(id))
    for (const { id, name, sql: text } of missing) {
      yield* sql.unsafe(text).unprepared
      yield* sql`insert into migrations (id, name, at) values (${id}, ${name}, ${new Date(yield* Clock.currentTimeMillis)})`
    }
    return missing.length
  })

/**
 * Brings the schema up to date and returns how many migrations ran: all of them in one transaction, or none. Any number
 * of processes may start at once; one migrates and the others wait for it.
 */
export const run = ({
  lock,
  migrations: known = migrations
}: Options): Effect.Effect<number, StartupError | SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.withTransaction(
      Effect.gen(function* () {
        // Building an index may take longer than a statement of a request is allowed to.
        yield* sql`set local statement_timeout = 0`
        if (lock) yield* sql`select pg_advisory_xact_lock(${lockKey})`
        return yield* apply(known)
      })
    )
  )
