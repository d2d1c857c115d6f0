import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/TestClock"
import * as Supervised from "../../src/actor/Supervised.ts"
import { it } from "../kit/effect.ts"

const layer = Layer.merge(Supervised.Registry.layer, Logger.remove(Logger.defaultLogger))

const restart = { intensity: 2, window: "1 minute", backoff: { initial: "100 millis", max: "1 second" } } as const

it("a fiber that fails starts again after a pause, and the registry says why", () =>
  Effect.gen(function* () {
    const registry = yield* Supervised.Registry
    let runs = 0
    const effect = Effect.suspend(() => (++runs === 1 ? Effect.fail("the first time") : Effect.never))
    yield* Supervised.fork({ name: "queue processing", effect, restart })
    yield* TestClock.adjust("99 millis")
    expect(runs).toBe(1)
    expect(yield* registry.report).toMatchObject([{ name: "queue processing", state: "backoff", restarts: 1 }])
    yield* TestClock.adjust("1 millis")
    expect(runs).toBe(2)
    const [report] = yield* registry.report
    expect(report?.state).toBe("running")
    expect(report?.lastFailure?.cause).toContain("the first time")
  }).pipe(Effect.provide(layer)))

it("a fiber that fails too often stays down", () =>
  Effect.gen(function* () {
    const registry = yield* Supervised.Registry
    let runs = 0
    yield* Supervised.fork({ name: "retention", effect: Effect.die(() => ++runs), restart })
    yield* TestClock.adjust("10 minutes")
    expect(yield* registry.report).toMatchObject([{ state: "failed", restarts: 2 }])
  }).pipe(Effect.provide(layer)))

it("failures that lie further apart than the window do not add up", () =>
  Effect.gen(function* () {
    const registry = yield* Supervised.Registry
    const effect = Effect.zipRight(Effect.sleep("40 seconds"), Effect.fail("again"))
    yield* Supervised.fork({ name: "retention", effect, restart })
    yield* TestClock.adjust("10 minutes")
    const [report] = yield* registry.report
    expect(report?.state).toBe("running")
    expect(report?.restarts).toBeGreaterThan(10)
  }).pipe(Effect.provide(layer)))

it("a fiber that ends by itself is done, and its entry goes with its scope", () =>
  Effect.gen(function* () {
    const registry = yield* Supervised.Registry
    yield* Effect.scoped(
      Effect.gen(function* () {
        yield* Supervised.fork({ name: "once", effect: Effect.void })
        yield* Effect.yieldNow()
        expect(yield* registry.report).toMatchObject([{ name: "once", state: "done" }])
      })
    )
    expect(yield* registry.report).toEqual([])
  }).pipe(Effect.provide(layer)))
