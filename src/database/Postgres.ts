import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Supervised from "../actor/Supervised.ts"
import type * as Settings from "../config/Settings.ts"
import { DatabaseUnavailable } from "../errors.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Alarm from "./Alarm.ts"
import * as Client from "./Client.ts"
import { Database, type Stats } from "./Database.ts"
import type { Driver } from "./Driver.ts"
import * as Listening from "./Listening.ts"
import * as Observer from "./Observer.ts"
import * as Pool from "./Pool.ts"
import * as SlowPlans from "./SlowPlans.ts"
import { isUnavailable } from "./SqlErrors.ts"
import * as Writes from "./Writes.ts"

export interface Options {
  readonly driver: Driver
  readonly backend: Stats["backend"]
  /** The database's name, for traces. */
  readonly name: string
  readonly settings: Settings.Shape["database"]
}

/** How long a ping may take. */
export const pingLimit = Duration.seconds(1)

const ping = (sql: SqlClient.SqlClient): Database["Type"]["ping"] =>
  Effect.timed(sql`select 1`).pipe(
    Effect.map(([took]) => took),
    Effect.catchAll((error) =>
      isUnavailable(error) ? new DatabaseUnavailable({ cause: error.cause }) : Effect.die(error)
    ),
    Effect.timeoutFail({
      duration: pingLimit,
      onTimeout: () => new DatabaseUnavailable({ cause: new Error(`No answer within ${Duration.format(pingLimit)}`) })
    })
  )

/** Gauges are set on each sweep: a scrape reads what was true a moment ago. */
const setGauges = (pool: Pool.Pool): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { inUse, max, open, waiting } = pool.figures()
    return Effect.all(
      [
        Metric.set(Metrics.poolInUse, inUse),
        Metric.set(Metrics.poolMax, max),
        Metric.set(Metrics.poolOpen, open),
        Metric.set(Metrics.poolWaiting, waiting)
      ],
      { discard: true }
    )
  })

/** SqlClient and Database over one driver: the pool, its upkeep, and the observer of every statement. */
export const make = ({
  backend,
  driver,
  name,
  settings
}: Options): Effect.Effect<Context.Context<SqlClient.SqlClient | Database>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const pool = yield* Effect.acquireRelease(
      Effect.sync(() =>
        Pool.make({
          driver,
          max: settings.poolMax,
          min: settings.poolMin,
          now: () => clock.unsafeCurrentTimeMillis()
        })
      ),
      (opened) => Effect.sync(opened.close)
    )
    yield* Supervised.fork({
      name: "database pool sweep",
      effect: Effect.sync(pool.sweep).pipe(
        Effect.zipRight(setGauges(pool)),
        Effect.repeat(Schedule.spaced(Duration.millis(Pool.sweepMillis)))
      )
    })
    const plans = yield* SlowPlans.make
    const writes = Writes.make()
    const observer = Observer.make({
      clock,
      plans,
      writes,
      slowMillis: Duration.toMillis(settings.slowQueryThreshold),
      log: settings.queryLog
    })
    const alarm = yield* Alarm.make
    const boundaryMillisMax = Duration.toMillis(settings.queryTimeout)
    // Where the connection holds no settings, the server does not know the limit.
    const millisMax = settings.prepared ? Infinity : boundaryMillisMax
    const sql = yield* Client.make({ pool, observer, alarm, millisMax, boundaryMillisMax }, writes, name)
    yield* Supervised.fork({ name: "slow query plans", effect: plans.serve(sql) })
    const { totals } = observer
    return Context.make(SqlClient.SqlClient, sql).pipe(
      Context.add(Database, {
        stats: Effect.sync(() => ({
          backend,
          pool: pool.figures(),
          queries: totals.queries,
          failures: totals.failures,
          slow: totals.slow,
          meanMillis: totals.queries === 0 ? 0 : totals.millis / totals.queries
        })),
        slowQueries: Effect.sync(observer.slowQueries),
        onWritten: (follower) =>
          Effect.acquireRelease(
            Effect.sync(() => writes.followers.add(follower)),
            () => Effect.sync(() => writes.followers.delete(follower))
          ),
        ping: ping(sql),
        listen: Listening.make(driver)
      })
    )
  })
