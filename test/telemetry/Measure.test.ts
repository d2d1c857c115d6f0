import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as TestClock from "effect/TestClock"
import { measure, observe, timed } from "../../src/telemetry/Measure.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { it } from "../kit/effect.ts"

const callsOf = (name: string, outcome: string) =>
  Effect.map(Metric.value(Metrics.series(Metrics.calls, name, outcome)), ({ count }) => count)

const secondsOf = (name: string) => Metric.value(Metrics.series(Metrics.callSeconds, name))

it("a measured function gives what it gave before, and its time is recorded", () =>
  Effect.gen(function* () {
    const double = measure("test.double", (n: number) => Effect.as(Effect.sleep("250 millis"), n * 2))
    const fiber = yield* Effect.fork(double(21))
    yield* TestClock.adjust("250 millis")
    expect(yield* Fiber.join(fiber)).toBe(42)
    expect(yield* secondsOf("test.double")).toMatchObject({ count: 1, sum: 0.25 })
    expect(yield* callsOf("test.double", "ok")).toBe(1)
  }))

it("each way to end is counted apart", () =>
  Effect.gen(function* () {
    const end = measure("test.end", (effect: Effect.Effect<void, string>) => effect)
    yield* Effect.exit(end(Effect.fail("no")))
    yield* Effect.exit(end(Effect.die("bug")))
    yield* Fiber.interrupt(yield* Effect.fork(end(Effect.never)).pipe(Effect.tap(Effect.yieldNow())))
    expect([
      yield* callsOf("test.end", "ok"),
      yield* callsOf("test.end", "failed"),
      yield* callsOf("test.end", "died"),
      yield* callsOf("test.end", "interrupted")
    ]).toEqual([0, 1, 1, 1])
  }))

it("a function that throws before it returns an Effect counts as died", () =>
  Effect.gen(function* () {
    const broken = measure("test.throws", (): Effect.Effect<void> => {
      throw new Error("bug")
    })
    yield* Effect.exit(broken())
    expect(yield* callsOf("test.throws", "died")).toBe(1)
  }))

it("a method keeps its this and takes its own name", () =>
  Effect.gen(function* () {
    class Counter {
      private n = 40
      @timed()
      add(amount: number) {
        return Effect.sync(() => (this.n += amount))
      }
      @timed("test.subtract")
      subtract(amount: number) {
        return Effect.sync(() => (this.n -= amount))
      }
    }
    const counter = new Counter()
    expect(yield* counter.add(2)).toBe(42)
    expect(yield* counter.subtract(2)).toBe(40)
    expect(yield* callsOf("add", "ok")).toBe(1)
    expect(yield* callsOf("test.subtract", "ok")).toBe(1)
  }))

it("the time of an Effect goes into any histogram", () =>
  Effect.gen(function* () {
    const before = yield* Metric.value(Metrics.queuePassSeconds)
    const fiber = yield* Effect.fork(observe(Metrics.queuePassSeconds)(Effect.sleep("2 seconds")))
    yield* TestClock.adjust("2 seconds")
    yield* Fiber.join(fiber)
    expect((yield* Metric.value(Metrics.queuePassSeconds)).sum).toBe(before.sum + 2)
  }))
