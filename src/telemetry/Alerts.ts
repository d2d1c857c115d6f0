import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Supervised from "../actor/Supervised.ts"
import * as Figures from "./Figures.ts"
import { Health } from "./Health.ts"
import * as Metrics from "./Metrics.ts"

/** A threshold over a figure. It fires when the figure has been beyond the threshold for all of `hold`. */
export interface Alert {
  readonly name: string
  /** What it means, for the log and the docs. */
  readonly summary: string
  readonly direction: "above" | "below"
  readonly threshold: number
  readonly hold: Duration.DurationInput
  /** The figure; NaN when there is too little to judge, which counts as fine. `before` was read a `window` ago. */
  readonly figure: (now: Figures.Reading, before: Figures.Reading) => number
}

/** How an alert stands. `value` is the figure at the last evaluation, `since` when the state began. */
export interface Standing {
  readonly name: string
  readonly state: "OK" | "FIRING"
  readonly value: number
  readonly threshold: number
  readonly direction: "above" | "below"
  readonly since: Date
}

/** The alerts of this process, evaluated each 5 s from its own metrics. */
export class Alerts extends Context.Tag("@connect/Alerts")<
  Alerts,
  { readonly standings: Effect.Effect<ReadonlyArray<Standing>> }
>() {}

/** Rates and quantiles are taken over this long. */
export const window = Duration.minutes(1)
const interval = Duration.seconds(5)
const readingsKept = Duration.toMillis(window) / Duration.toMillis(interval)

/** Reads in the window below which a hit rate says nothing. */
export const cacheReadsMin = 100
/** Answers in the window below which a percentile says nothing. */
export const requestsMin = 20

const requests = (reading: Figures.Reading) => reading.distribution("connect_request_duration_seconds")
const cacheReads = (reading: Figures.Reading) =>
  reading.total("connect_cache_hits_total") + reading.total("connect_cache_misses_total")

/** The four that are on unless others are given. `ops/prometheus/alerts.yml` has the same thresholds. */
export const defaults: ReadonlyArray<Alert> = [
  {
    name: "slow_requests",
    summary: "95 % of the requests take longer than the threshold, in seconds",
    direction: "above",
    threshold: 0.5,
    hold: "1 minute",
    figure: (now, before) => {
      const recent = Figures.since(requests(now), requests(before))
      return recent.count < requestsMin ? NaN : Figures.quantile(recent, 0.95)
    }
  },
  {
    name: "database_pool_busy",
    summary: "The share of the database pool in use is high",
    direction: "above",
    threshold: 0.8,
    hold: "1 minute",
    figure: (now) => Figures.poolUse(now)
  },
  {
    name: "cache_hit_rate_low",
    summary: "Few reads are answered by the caches",
    direction: "below",
    threshold: 0.6,
    hold: "5 minutes",
    figure: (now, before) => (cacheReads(now) - cacheReads(before) < cacheReadsMin ? NaN : Figures.hitRate(now, before))
  },
  {
    name: "heap_large",
    summary: "The heap in use is larger than the threshold, in bytes",
    direction: "above",
    threshold: 1_073_741_824,
    hold: "1 minute",
    figure: (now) => now.total("process_heap_used_bytes")
  }
]

/** Evaluates the alerts; shows them as `connect_alert_firing`, in the log and as the check `alerts`. */
export const layer = (alerts: ReadonlyArray<Alert> = defaults): Layer.Layer<Alerts, never, Health> =>
  Layer.scoped(
    Alerts,
    Effect.gen(function* () {
      const health = yield* Health
      const start = new Date(yield* Clock.currentTimeMillis)
      const trackers = alerts.map((alert) => new Tracker(alert, start))
      const readings: Array<Figures.Reading> = []

      const evaluate = Effect.gen(function* () {
        const now = yield* Figures.read
        const nowMillis = yield* Clock.currentTimeMillis
        const before = readings[0] ?? now
        for (const tracker of trackers) {
          const changed = tracker.observe(tracker.alert.figure(now, before), nowMillis)
          yield* Metric.set(Metrics.series(Metrics.alertFiring, tracker.alert.name), tracker.firing ? 1 : 0)
          if (changed) yield* tracker.log
        }
        readings.push(now)
        if (readings.length > readingsKept) readings.shift()
      })

      yield* Supervised.fork({
        name: "alerts",
        effect: Effect.forever(Effect.zipRight(evaluate, Effect.sleep(interval))),
        restart: { intensity: 5, window: "1 minute", backoff: { initial: "1 second", max: "10 seconds" } }
      })
      yield* health.register({
        name: "alerts",
        critical: false,
        run: Effect.sync(() => {
          const firing = trackers.filter((tracker) => tracker.firing)
          return firing.length === 0
            ? { status: "pass" as const }
            : {
                status: "warn" as const,
                details: firing.map(({ alert }) => alert.summary).join("; "),
                observed: Object.fromEntries(firing.map(({ alert, value }) => [alert.name, value]))
              }
        })
      })
      return { standings: Effect.sync(() => trackers.map((tracker) => tracker.standing)) }
    })
  )

/** One alert's state. */
class Tracker {
  readonly alert: Alert
  firing = false
  value = NaN
  private beyondSince: number | undefined
  private since: Date

  constructor(alert: Alert, since: Date) {
    this.alert = alert
    this.since = since
  }

  /** Takes the figure in; true when the alert began or ceased to fire. */
  observe(value: number, nowMillis: number): boolean {
    this.value = value
    const beyond = this.alert.direction === "above" ? value > this.alert.threshold : value < this.alert.threshold
    if (!beyond) this.beyondSince = undefined
    else this.beyondSince ??= nowMillis
    const firing = beyond && nowMillis - this.beyondSince! >= Duration.toMillis(this.alert.hold)
    if (firing === this.firing) return false
    this.firing = firing
    this.since = new Date(nowMillis)
    return true
  }

  get log(): Effect.Effect<void> {
    const { direction, name, summary, threshold } = this.alert
    const annotations = { alert: name, value: this.value, threshold, direction }
    return Effect.annotateLogs(
      this.firing ? Effect.logWarning(`Alert: ${summary}`) : Effect.logInfo(`Alert over: ${summary}`),
      annotations
    )
  }

  get standing(): Standing {
    const { direction, name, threshold } = this.alert
    return { name, state: this.firing ? "FIRING" : "OK", value: this.value, threshold, direction, since: this.since }
  }
}
