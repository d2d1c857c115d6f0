import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import type { DatabaseUnavailable } from "../errors.ts"

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
    /** `select 1`, within a second. */
    readonly ping: Effect.Effect<Duration.Duration, DatabaseUnavailable>
  }
>() {}

/** What one request asked of the database; the gateway sets a fresh one per request. */
export interface QueryCount {
  queries: number
  millis: number
}

/** The count of the request that this fiber works for. */
export const currentQueryCount: FiberRef.FiberRef<QueryCount | undefined> = FiberRef.unsafeMake<QueryCount | undefined>(
  undefined
)

/** Runs `effect` with a fresh count and returns both. */
export const counted = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [A, QueryCount], E, R> =>
  Effect.suspend(() => {
    const count: QueryCount = { queries: 0, millis: 0 }
    return Effect.map(Effect.locally(effect, currentQueryCount, count), (a) => [a, count] as const)
  })
