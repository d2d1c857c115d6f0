import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { DatabaseUnavailable } from "../errors.ts"
import type { OnWritten } from "./Writes.ts"
import type { Notice } from "./Listening.ts"

/** Figures of the pool and of what ran through it since start. */
export interface Stats {
  readonly backend: "embedded" | "pglite" | "postgres"
  readonly pool: { readonly max: number; readonly open: number; readonly inUse: number; readonly waiting: number }
  readonly queries: number
  readonly failures: number
  readonly slow: number
  readonly meanMillis: number
}

/** A statement that took longer than the threshold. `fingerprint` is the SQL without its literals. */
export interface SlowQuery {
  readonly fingerprint: string
  readonly durationMillis: number
  readonly at: Date
  /** How the server runs it, whatever the values; null until it has said so. */
  readonly plan: string | null
}

/** Slow statements kept for `slowQueries`; the oldest go first. */
export const slowQueriesKept = 100

/**
 * The database as a whole. Statements go through `@effect/sql`'s SqlClient, which the same layers provide; each one is
 * timed, counted and, above the threshold, logged.
 */
export class Database extends Context.Tag("@connect/Database")<
  Database,
  {
    readonly stats: Effect.Effect<Stats>
    readonly slowQueries: Effect.Effect<ReadonlyArray<SlowQuery>>
    /** Calls the follower with the tables that this process writes, once that is committed. */
    readonly onWritten: (follower: OnWritten) => Effect.Effect<void, never, Scope.Scope>
    /** `select 1`, within a second. */
    readonly ping: Effect.Effect<Duration.Duration, DatabaseUnavailable>
    /**
     * What is said on a channel (`pg_notify`), on a connection of its own that is made again when it is lost. Each time
     * it begins it says `Gap`: read again what you would have been told. Not with `DB_PREPARED=false`.
     */
    readonly listen: (channel: string) => Stream.Stream<Notice>
  }
>() {}
