import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Supervised from "../actor/Supervised.ts"
import * as Figures from "./Figures.ts"
import * as Metrics from "./Metrics.ts"

export type Status = "pass" | "warn" | "fail"

/** The outcome of one check. `details` is for people; never secrets or personal data. */
export interface Outcome {
  readonly status: Status
  readonly details?: string
  readonly observed?: Readonly<Record<string, number | string>>
}

/** A check that runs on a schedule. `critical`: readiness is red while it fails; otherwise health is only degraded. */
export interface Check {
  readonly name: string
  readonly critical: boolean
  readonly run: Effect.Effect<Outcome>
  readonly timeout?: Duration.DurationInput
}

/** Outcomes kept per check. */
export const historyKept = 50

/** How a check stands, with its last outcomes, the newest last. */
export type Standing = Outcome & {
  readonly at: Date
  readonly history: ReadonlyArray<{ readonly status: Status; readonly at: Date }>
}

/** `fail` when a critical check fails, `warn` when anything else is not well. */
export interface Report {
  readonly status: Status
  readonly checks: Readonly<Record<string, Standing>>
  /** The figures of Figures.summary, since the process started. */
  readonly metrics: Readonly<Record<string, number>>
}

/** Health of this process: checks run every 5 s by a supervised fiber, the answers are read from memory. */
export class Health extends Context.Tag("@connect/Health")<
  Health,
  {
    /** Adds a check for as long as the scope lives, and runs it once. A check of the same name is replaced. */
    readonly register: (check: Check) => Effect.Effect<void, never, Scope.Scope>
    readonly report: Effect.Effect<Report>
    /** Turns readiness red for good: the process is draining. */
    readonly drain: Effect.Effect<void>
    readonly ready: Effect.Effect<boolean>
  }
>() {}

const interval = Duration.seconds(5)
const timeoutDefault = Duration.seconds(2)

/** The media type of `toJson`. */
export const contentType = "application/health+json"

/** The report as /health answers it: plain JSON, no secrets; with the last outcomes of each check when asked for. */
export const toJson = (report: Report, withHistory: boolean) => ({
  status: report.status,
  checks: Object.fromEntries(
    Object.entries(report.checks).map(([name, { at, details, history, observed, status }]) => [
      name,
      {
        status,
        time: at.toISOString(),
        ...(details === undefined ? {} : { output: details }),
        ...(observed === undefined ? {} : { observed }),
        ...(withHistory
          ? { history: history.map((past) => ({ status: past.status, time: past.at.toISOString() })) }
          : {})
      }
    ])
  ),
  metrics: report.metrics
})

/** Health with no checks yet: what has something to check registers it. */
export const layer: Layer.Layer<Health> = Layer.scoped(
  Health,
  Effect.gen(function* () {
    const probes = new Map<string, Probe>()
    let draining = false

    yield* Supervised.fork({
      name: "health checks",
      effect: Effect.sleep(interval).pipe(
        Effect.zipRight(
          Effect.suspend(() => Effect.forEach(probes.values(), once, { concurrency: "unbounded", discard: true }))
        ),
        Effect.forever
      ),
      restart: { intensity: 5, window: "1 minute", backoff: { initial: "100 millis", max: "5 seconds" } }
    })

    const failing = () => [...probes.values()].some(({ check, last }) => check.critical && last.status === "fail")
    const status = (): Status =>
      failing() ? "fail" : [...probes.values()].some(({ last }) => last.status !== "pass") ? "warn" : "pass"

    return {
      register: (check) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const probe: Probe = { check, last: pending, at: new Date(0), history: [], running: false }
            probes.set(check.name, probe)
            return probe
          }),
          (probe) =>
            Effect.suspend(() => {
              if (probes.get(check.name) !== probe) return Effect.void
              probes.delete(check.name)
              return Metric.set(Metrics.series(Metrics.checkFailing, check.name), 0)
            })
        ).pipe(Effect.flatMap(once)),
      report: Effect.map(Figures.read, (now) => ({
        status: status(),
        checks: Object.fromEntries(
          Array.from(probes, ([name, { at, history, last }]) => [name, { ...last, at, history: [...history] }])
        ),
        metrics: Figures.summary(now)
      })),
      drain: Effect.sync(() => {
        draining = true
      }),
      ready: Effect.sync(() => !draining && !failing())
    }
  })
)

/** A registered check and what it has shown so far. */
interface Probe {
  readonly check: Check
  last: Outcome
  at: Date
  readonly history: Array<{ readonly status: Status; readonly at: Date }>
  running: boolean
}

const pending: Outcome = { status: "fail", details: "Not run yet" }
const weight = { pass: 0, warn: 0.5, fail: 1 } as const

/**
 * Runs a check within its timeout and records the outcome. A run that cannot be interrupted is left behind, and no
 * second one is started beside it.
 */
const once = (probe: Probe): Effect.Effect<void> => {
  const timeout = Duration.decode(probe.check.timeout ?? timeoutDefault)
  const run = Effect.suspend(() => {
    if (probe.running) return Effect.succeed<Outcome>({ status: "fail", details: "The last run has not ended" })
    probe.running = true
    return Effect.ensuring(
      probe.check.run,
      Effect.sync(() => {
        probe.running = false
      })
    )
  })
  return run.pipe(
    Effect.catchAllCause((cause) =>
      Effect.succeed<Outcome>({ status: "fail", details: `The check failed: ${firstLine(Cause.pretty(cause))}` })
    ),
    Effect.disconnect,
    Effect.timeoutTo({
      duration: timeout,
      onSuccess: (outcome) => outcome,
      onTimeout: (): Outcome => ({ status: "fail", details: `No answer within ${Duration.toMillis(timeout)} ms` })
    }),
    Effect.flatMap((outcome) => record(probe, outcome))
  )
}

const record = (probe: Probe, outcome: Outcome): Effect.Effect<void> =>
  Effect.gen(function* () {
    const before = probe.history.at(-1)?.status
    probe.last = outcome
    probe.at = new Date(yield* Clock.currentTimeMillis)
    probe.history.push({ status: outcome.status, at: probe.at })
    if (probe.history.length > historyKept) probe.history.shift()
    yield* Metric.set(Metrics.series(Metrics.checkFailing, probe.check.name), weight[outcome.status])
    if (before === outcome.status || (before === undefined && outcome.status === "pass")) return
    const log = outcome.status === "pass" ? Effect.logInfo : Effect.logWarning
    yield* log(`Health check ${probe.check.name}: ${outcome.status}${outcome.details ? `, ${outcome.details}` : ""}`)
  })

const firstLine = (text: string): string => text.split("\n", 1)[0]!
