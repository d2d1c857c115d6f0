import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as TestClock from "effect/TestClock"
import * as ProcessLayer from "../../layers/telemetry/Process.ts"
import * as Supervised from "../../src/actor/Supervised.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { Process, type Sample, sampler } from "../../src/telemetry/Process.ts"
import { it } from "../kit/effect.ts"

const mebibyte = 1_048_576

it.live("this process tells what it uses, in seconds and bytes", () =>
  Effect.gen(function* () {
    const { runtime, sample } = yield* Process
    expect(runtime).toBe("bun")
    const { cpuSeconds, heapUsedBytes, memoryBytesMax, residentBytes, uptimeSeconds } = yield* sample
    expect(cpuSeconds).toBeGreaterThan(0)
    expect(cpuSeconds).toBeLessThan(600)
    expect(residentBytes).toBeGreaterThan(10 * mebibyte)
    expect(heapUsedBytes).toBeGreaterThan(mebibyte / 10)
    expect(memoryBytesMax).toBeGreaterThan(residentBytes)
    expect(memoryBytesMax).toBeLessThan(2 ** 45)
    expect(uptimeSeconds).toBeGreaterThan(0)
  }).pipe(Effect.provide(ProcessLayer.layer))
)

/** A process whose figures the test sets. */
const processOf = (state: { sample: Sample }) =>
  Layer.succeed(Process, { runtime: "bun", sample: Effect.sync(() => state.sample), collect: Effect.void })

it("the figures are sampled every 5 s, CPU as what was used in between", () => {
  const state = {
    sample: { cpuSeconds: 2, residentBytes: 100, heapUsedBytes: 50, memoryBytesMax: 1_000, uptimeSeconds: 10 }
  }
  return Effect.gen(function* () {
    yield* TestClock.adjust("1 millis")
    const before = (yield* Metric.value(Metrics.cpuSeconds)).count
    const delays = (yield* Metric.value(Metrics.eventLoopSeconds)).count
    state.sample = { ...state.sample, cpuSeconds: 4.5, residentBytes: 200, uptimeSeconds: 15 }
    yield* TestClock.adjust("5 seconds")
    expect((yield* Metric.value(Metrics.cpuSeconds)).count - before).toBe(2.5)
    expect((yield* Metric.value(Metrics.cpuRatio)).value).toBe(0.5)
    expect((yield* Metric.value(Metrics.residentBytes)).value).toBe(200)
    expect((yield* Metric.value(Metrics.uptimeSeconds)).value).toBe(15)
    expect((yield* Metric.value(Metrics.eventLoopSeconds)).count - delays).toBe(10)
  }).pipe(Effect.provide(sampler.pipe(Layer.provide(processOf(state)), Layer.provide(Supervised.Registry.layer))))
})
