import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metrics from "../telemetry/Metrics.ts"
import type { SlowQuery } from "./Database.ts"
import { currentQueryCount, slowQueriesKept } from "./Database.ts"
import { fingerprint } from "./Fingerprint.ts"

export interface ObserverOptions {
  readonly slowMillis: number
  /** Each statement at debug level. */
  readonly log: boolean
}

/** What ran since start. */
export interface Observed {
  queries: number
  failures: number
  slow: number
  millis: number
}

/** Times, counts and logs the statements of the connections that it wraps. Values of parameters never leave it. */
export interface Observer {
  readonly observed: Readonly<Observed>
  readonly slowQueries: () => ReadonlyArray<SlowQuery>
  readonly wrap: (connection: Connection) => Connection
}

const succeeded = Metrics.series(Metrics.queries, "ok")
const failed = Metrics.series(Metrics.queries, "error")

export const make = ({ log, slowMillis }: ObserverOptions): Observer => {
  const observed: Observed = { queries: 0, failures: 0, slow: 0, millis: 0 }
  let kept: ReadonlyArray<SlowQuery> = []

  const slow = (sql: string, durationMillis: number, atMillis: number): Effect.Effect<void> => {
    observed.slow++
    Metrics.slowQueries.unsafeUpdate(1, [])
    const entry = { fingerprint: fingerprint(sql), durationMillis, at: new Date(atMillis) }
    kept = [...kept.slice(1 - slowQueriesKept), entry]
    return Effect.logWarning("Slow query").pipe(
      Effect.annotateLogs({ fingerprint: entry.fingerprint, durationMillis: Math.round(durationMillis) })
    )
  }

  const observe = <A>(sql: string, run: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
    Effect.withFiberRuntime((fiber) => {
      const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
      const started = clock.unsafeCurrentTimeNanos()
      const count = fiber.getFiberRef(currentQueryCount)
      observed.queries++
      if (count !== undefined) count.queries++

      const finish = (counter: typeof succeeded): Effect.Effect<void> | undefined => {
        const millis = Number(clock.unsafeCurrentTimeNanos() - started) / 1e6
        observed.millis += millis
        if (count !== undefined) count.millis += millis
        counter.unsafeUpdate(1, [])
        Metrics.querySeconds.unsafeUpdate(millis / 1_000, [])
        if (millis >= slowMillis) return slow(sql, millis, clock.unsafeCurrentTimeMillis())
        return log
          ? Effect.logDebug("Query").pipe(
              Effect.annotateLogs({ fingerprint: fingerprint(sql), durationMillis: millis })
            )
          : undefined
      }

      return Effect.matchCauseEffect(run, {
        onFailure: (cause) => {
          if (!Cause.isInterruptedOnly(cause)) observed.failures++
          const report = finish(failed)
          return report === undefined ? Effect.failCause(cause) : Effect.zipRight(report, Effect.failCause(cause))
        },
        onSuccess: (value) => {
          const report = finish(succeeded)
          return report === undefined ? Effect.succeed(value) : Effect.as(report, value)
        }
      })
    })

  return {
    observed,
    slowQueries: () => kept,
    wrap: (connection) => ({
      execute: (sql, params, transform) => observe(sql, connection.execute(sql, params, transform)),
      executeRaw: (sql, params) => observe(sql, connection.executeRaw(sql, params)),
      executeValues: (sql, params) => observe(sql, connection.executeValues(sql, params)),
      executeUnprepared: (sql, params, transform) => observe(sql, connection.executeUnprepared(sql, params, transform)),
      executeStream: connection.executeStream
    })
  }
}
