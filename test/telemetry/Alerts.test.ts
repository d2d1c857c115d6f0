import { expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as TestClock from "effect/TestClock"
import * as Supervised from "../../src/actor/Supervised.ts"
import * as Alerts from "../../src/telemetry/Alerts.ts"
import * as Figures from "../../src/telemetry/Figures.ts"
import * as Health from "../../src/telemetry/Health.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { it } from "../kit/effect.ts"

/** An alert over a number the test sets. */
const dial = (direction: "above" | "below", start: number) => {
  const state = { value: start }
  const alert: Alerts.Alert = {
    name: `dial_${direction}`,
    summary: "The dial is beyond 10",
    direction,
    threshold: 10,
    hold: "1 minute",
    figure: () => state.value
  }
  return { state, alert }
}

const layer = (alerts: ReadonlyArray<Alerts.Alert>) =>
  Alerts.layer(alerts).pipe(Layer.provideMerge(Health.layer), Layer.provide(Supervised.Registry.layer))

/** Collects what is logged instead of printing it. */
const collected = (lines: Array<string>) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ logLevel, message }) => {
      lines.push(`${logLevel.label} ${String(message)}`)
    })
  )
const quiet = collected([])

const states = Effect.gen(function* () {
  const standings = yield* (yield* Alerts.Alerts).standings
  return Object.fromEntries(standings.map(({ name, state }) => [name, state]))
})

const gaugeOf = (name: string) =>
  Effect.map(Metric.value(Metrics.series(Metrics.alertFiring, name)), ({ value }) => value)

it("an alert fires when the figure has been beyond the threshold for the hold time, and not before", () => {
  const { alert, state } = dial("above", 5)
  return Effect.gen(function* () {
    yield* TestClock.adjust("1 minute")
    state.value = 11
    yield* TestClock.adjust("1 minute")
    expect(yield* states).toEqual({ dial_above: "OK" })
    yield* TestClock.adjust("5 seconds")
    expect(yield* states).toEqual({ dial_above: "FIRING" })
    expect(yield* gaugeOf("dial_above")).toBe(1)
    state.value = 10
    yield* TestClock.adjust("5 seconds")
    expect(yield* states).toEqual({ dial_above: "OK" })
    expect(yield* gaugeOf("dial_above")).toBe(0)
  }).pipe(Effect.provide(layer([alert])), Effect.provide(quiet))
})

it("a figure that comes back within the hold time starts it anew", () => {
  const { alert, state } = dial("above", 11)
  return Effect.gen(function* () {
    yield* TestClock.adjust("50 seconds")
    state.value = 9
    yield* TestClock.adjust("5 seconds")
    state.value = 11
    yield* TestClock.adjust("55 seconds")
    expect(yield* states).toEqual({ dial_above: "OK" })
    yield* TestClock.adjust("10 seconds")
    expect(yield* states).toEqual({ dial_above: "FIRING" })
  }).pipe(Effect.provide(layer([alert])), Effect.provide(quiet))
})

it("the other direction fires below the threshold, and too little to judge is fine", () => {
  const { alert, state } = dial("below", NaN)
  return Effect.gen(function* () {
    yield* TestClock.adjust("2 minutes")
    expect(yield* states).toEqual({ dial_below: "OK" })
    state.value = 9
    yield* TestClock.adjust("65 seconds")
    expect(yield* states).toEqual({ dial_below: "FIRING" })
  }).pipe(Effect.provide(layer([alert])), Effect.provide(quiet))
})

it("a firing alert is one line in the log, a warning in health, and one line when it is over", () => {
  const { alert, state } = dial("above", 11)
  const lines: Array<string> = []
  return Effect.gen(function* () {
    const health = yield* Health.Health
    yield* TestClock.adjust("2 minutes")
    const report = yield* health.report
    expect(report.status).toBe("warn")
    expect(report.checks["alerts"]).toMatchObject({ details: "The dial is beyond 10", observed: { dial_above: 11 } })
    state.value = 1
    yield* TestClock.adjust("10 seconds")
    expect((yield* health.report).status).toBe("pass")
    expect(lines.filter((line) => line.includes("Alert"))).toEqual([
      "WARN Alert: The dial is beyond 10",
      "INFO Alert over: The dial is beyond 10"
    ])
  }).pipe(Effect.provide(layer([alert])), Effect.provide(collected(lines)))
})

/** The default alerts with a short hold: what is tested with them is the figure. */
const defaults = layer(Alerts.defaults.map((alert) => ({ ...alert, hold: "10 seconds" })))

/** Runs `each` that often in each of so many spans of 5 s, as load would. */
const load = (spans: number, times: number, each: Effect.Effect<unknown>) =>
  Effect.repeatN(Effect.zipRight(Effect.repeatN(each, times - 1), TestClock.adjust("5 seconds")), spans - 1)

it("slow requests fire at a 95th percentile above half a second, and cease when new ones are fast", () =>
  Effect.gen(function* () {
    const request = Metrics.series(Metrics.requestSeconds, "query")
    yield* load(6, 5, Metric.update(request, 0.8))
    expect((yield* states)["slow_requests"]).toBe("FIRING")
    yield* load(14, 5, Metric.update(request, 0.01))
    expect((yield* states)["slow_requests"]).toBe("OK")
  }).pipe(Effect.provide(defaults), Effect.provide(quiet)))

it("a few slow requests are too few to judge", () =>
  Effect.gen(function* () {
    for (let i = 0; i < Alerts.requestsMin - 1; i++) yield* Metric.update(Metrics.requestSeconds, 9)
    yield* TestClock.adjust("30 seconds")
    expect((yield* states)["slow_requests"]).toBe("OK")
  }).pipe(Effect.provide(defaults), Effect.provide(quiet)))

it("a pool with more than 80 % in use fires", () =>
  Effect.gen(function* () {
    yield* Metric.set(Metrics.poolMax, 20)
    yield* Metric.set(Metrics.poolInUse, 16)
    yield* TestClock.adjust("15 seconds")
    expect((yield* states)["database_pool_busy"]).toBe("OK")
    yield* Metric.set(Metrics.poolInUse, 17)
    yield* TestClock.adjust("15 seconds")
    expect((yield* states)["database_pool_busy"]).toBe("FIRING")
  }).pipe(
    Effect.ensuring(Effect.zipRight(Metric.set(Metrics.poolInUse, 0), Metric.set(Metrics.poolMax, 0))),
    Effect.provide(defaults),
    Effect.provide(quiet)
  ))

it("a hit rate below 60 % fires only when there are enough reads", () =>
  Effect.gen(function* () {
    const hit = Metric.increment(Metrics.series(Metrics.cacheHits, "profile", "near"))
    const miss = Metric.increment(Metrics.series(Metrics.cacheMisses, "profile"))
    yield* load(5, 4, miss)
    expect((yield* states)["cache_hit_rate_low"]).toBe("OK")
    yield* load(5, 40, Effect.zipRight(hit, miss))
    expect((yield* states)["cache_hit_rate_low"]).toBe("FIRING")
    yield* load(14, 10, Effect.zipRight(Effect.repeatN(hit, 9), miss))
    expect((yield* states)["cache_hit_rate_low"]).toBe("OK")
  }).pipe(Effect.provide(defaults), Effect.provide(quiet)))

it("a heap above 1 GiB fires", () =>
  Effect.gen(function* () {
    yield* Metric.set(Metrics.heapUsedBytes, 2 ** 30 + 1)
    yield* TestClock.adjust("15 seconds")
    expect((yield* states)["heap_large"]).toBe("FIRING")
  }).pipe(Effect.ensuring(Metric.set(Metrics.heapUsedBytes, 0)), Effect.provide(defaults), Effect.provide(quiet)))

test("the default thresholds are the promised ones", () => {
  expect(
    Object.fromEntries(Alerts.defaults.map(({ direction, name, threshold }) => [name, [direction, threshold]]))
  ).toEqual({
    slow_requests: ["above", 0.5],
    database_pool_busy: ["above", 0.8],
    cache_hit_rate_low: ["below", 0.6],
    heap_large: ["above", 2 ** 30]
  })
})

test("a quantile is interpolated inside its bucket, as Prometheus does", () => {
  const distribution = {
    buckets: [
      [0.1, 50],
      [0.2, 90],
      [0.5, 100],
      [Infinity, 100]
    ],
    count: 100,
    sum: 0
  } as const
  expect(Figures.quantile(distribution, 0.5)).toBeCloseTo(0.1)
  expect(Figures.quantile(distribution, 0.7)).toBeCloseTo(0.15)
  expect(Figures.quantile(distribution, 0.95)).toBeCloseTo(0.35)
  expect(
    Figures.quantile(
      {
        buckets: [
          [0.1, 0],
          [Infinity, 5]
        ],
        count: 5,
        sum: 99
      },
      0.5
    )
  ).toBe(0.1)
  expect(Figures.quantile({ buckets: [], count: 0, sum: 0 }, 0.5)).toBeNaN()
})
