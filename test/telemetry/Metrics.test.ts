import { expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { it } from "../kit/effect.ts"

test("every metric is named connect_<subsystem>_<what>_<unit>, or by Prometheus's own names for processes", () => {
  const wrong = Metrics.catalogue.filter(({ kind, name }) => {
    if (!/^(connect|process)(_[a-z][a-z0-9]*)+$/.test(name)) return true
    if (kind === "counter") return !name.endsWith("_total")
    return name.endsWith("_total") || /_(millis|ms|kb|mb|percent)$/.test(name)
  })
  expect(wrong.map(({ name }) => name)).toEqual([])
})

test("every metric has a sentence of help, and no two share a name", () => {
  expect(Metrics.catalogue.filter(({ help }) => !/^[A-Z0-9].+\.$/.test(help)).map(({ name }) => name)).toEqual([])
  expect(new Set(Metrics.catalogue.map(({ name }) => name)).size).toBe(Metrics.catalogue.length)
})

test("durations are histograms of seconds, sizes of bytes", () => {
  const wrong = Metrics.catalogue.filter(({ kind, name }) => kind === "histogram" && /duration|size/.test(name))
  expect(wrong.filter(({ name }) => !/_(seconds|bytes)$/.test(name)).map(({ name }) => name)).toEqual([])
})

it("a series is the same object each time, and counts under its labels", () =>
  Effect.gen(function* () {
    const series = Metrics.series(Metrics.requests, "query", "TEST_SERIES")
    expect(Metrics.series(Metrics.requests, "query", "TEST_SERIES")).toBe(series)
    yield* Metric.increment(series)
    const tagged = Metric.tagged(Metric.tagged(Metrics.requests, "operation", "query"), "code", "TEST_SERIES")
    expect((yield* Metric.value(tagged)).count).toBe(1)
  }))

it("label values beyond the bound are counted together under other", () =>
  Effect.gen(function* () {
    const names = Array.from({ length: Metrics.seriesMax + 50 }, (_, i) => `flood ${i}`)
    for (const name of names) yield* Metric.increment(Metrics.series(Metrics.deadLetters, name))
    const seen = (yield* Metric.snapshot).filter(({ metricKey }) =>
      metricKey.tags.some(({ value }) => value.startsWith("flood"))
    )
    expect(seen.length).toBeLessThanOrEqual(Metrics.seriesMax)
    expect((yield* Metric.value(Metric.tagged(Metrics.deadLetters, "reason", "other"))).count).toBeGreaterThanOrEqual(
      50
    )
  }))
