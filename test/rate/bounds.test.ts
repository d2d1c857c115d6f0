import { expect, test } from "bun:test"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as TestClock from "effect/TestClock"
import * as Settings from "../../src/config/Settings.ts"
import { RateLimited, StoreUnavailable } from "../../src/errors.ts"
import { Denials, refusalsMax } from "../../src/rate/Denials.ts"
import { keyOf, Meter } from "../../src/rate/Meter.ts"
import * as RateLimiter from "../../src/rate/RateLimiter.ts"
import { pace } from "../../src/rate/Rule.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { it } from "../kit/effect.ts"

const settings = Settings.layerTest((shape) => ({ ...shape, rateLimit: { enabled: true } }))
const layer = RateLimiter.layer.pipe(Layer.provide([StoreMemory.layer, settings]))

const rule: RateLimiter.Rule = { name: "test", limit: 10, window: "1 second", burst: 5, onStoreLoss: "local" }

/** A limiter on a store elsewhere, as far as it knows, with the keys of each script that it was asked to run. */
const watched = (run?: (store: typeof Store.Service) => Partial<typeof Store.Service>) => {
  const asked: Array<number> = []
  const store = Layer.effect(
    Store,
    Effect.map(StoreMemory.make(), (memory) => ({
      ...memory,
      backend: "redis" as const,
      run: ((...args: Parameters<typeof memory.run>) => {
        asked.push(args[1].length)
        return memory.run(...args)
      }) as typeof memory.run,
      ...run?.(memory)
    }))
  )
  return { asked, layer: RateLimiter.layer.pipe(Layer.provide([store, settings])) }
}

it("no script has more calls than its bound, and who was answered waits no longer", () => {
  const { asked, layer } = watched()
  return Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const wide = { ...rule, name: "wide", burst: 1_000_000, onStoreLoss: "closed" } as const
    const ask = (count: number) =>
      Effect.forEach(Array.from({ length: count }), () => limiter.consume({ rule: wide, key: "ada" }), {
        concurrency: "unbounded",
        discard: true
      })
    yield* ask(RateLimiter.waitingMax)
    expect(asked.reduce((sum, keys) => sum + keys, 0)).toBe(RateLimiter.waitingMax)
    expect(Math.max(...asked)).toBeLessThanOrEqual(RateLimiter.callsMax)
    // A rule that is closed while the store is away lets this one through, so the store was asked.
    yield* ask(1)
  }).pipe(Effect.provide(layer))
})

it("when too many wait for the store it counts as away", () => {
  const { layer } = watched(() => ({ run: () => Effect.never }))
  return Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const asking = limiter.consume({ rule, key: "ada" })
    yield* Effect.replicateEffect(Effect.fork(asking), RateLimiter.waitingMax, { discard: true })
    yield* Effect.yieldNow({ priority: 1 })
    const outcomes = yield* Effect.replicateEffect(Effect.either(asking), 6)
    expect(outcomes.map(Either.isRight)).toEqual([true, true, true, true, true, false])
  }).pipe(Effect.provide(layer))
})

it("of several refusals the longest wait is told, from the store and from memory", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const charges = [
      { rule: { ...rule, name: "fast" }, key: "ada", cost: 5 },
      { rule: { ...rule, name: "slow", limit: 1 }, key: "ada", cost: 5 },
      { rule: { ...rule, name: "middle", limit: 5 }, key: "ada", cost: 5 }
    ]
    yield* limiter.consume(...charges)
    const told = Effect.map(Effect.flip(limiter.consume(...charges)), (error) => [error.rule, error.retryAfterMillis])
    expect(yield* told).toEqual(["slow", 5_000])
    expect(yield* told).toEqual(["slow", 5_000])
  }).pipe(Effect.provide(layer)))

it("a charge is at least nothing and at most the burst, and what is left is whole", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const left = (cost: number) =>
      Effect.map(limiter.consume({ rule, key: "ada", cost }), ([quota]) => quota!.remaining)
    expect(yield* left(-3)).toBe(5)
    expect(yield* left(9)).toBe(0)
    yield* TestClock.adjust("250 millis")
    expect(yield* left(1)).toBe(1)
  }).pipe(Effect.provide(layer)))

it("one key has its own count under each rule", () =>
  Effect.gen(function* () {
    for (const one of [layer, watched().layer]) {
      yield* Effect.gen(function* () {
        const limiter = yield* RateLimiter.RateLimiter
        yield* limiter.consume({ rule, key: "ada", cost: 5 })
        const [quota] = yield* limiter.consume({ rule: { ...rule, name: "other" }, key: "ada" })
        expect(quota!.remaining).toBe(4)
      }).pipe(Effect.provide(one))
    }
  }))

/** What the metric has counted of a rule. */
const countsOf = ({ name }: RateLimiter.Rule, degraded: "yes" | "no") =>
  Effect.forEach(["allowed", "limited"], (outcome) =>
    Effect.map(Metric.value(Metrics.series(Metrics.rateLimitChecks, name, outcome, degraded)), ({ count }) => count)
  )

it("each check is counted once for its rule, a refusal from memory included", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const counted = { ...rule, name: "counted" }
    for (let n = 0; n < 8; n++) yield* Effect.either(limiter.consume({ rule: counted, key: "ada" }))
    expect(yield* countsOf(counted, "no")).toEqual([5, 3])
    expect(yield* countsOf(counted, "yes")).toEqual([0, 0])
  }).pipe(Effect.provide(layer)))

it("a call that two rules refuse is counted at the one that it waits longest for", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const [brief, long] = [
      { ...rule, name: "brief" },
      { ...rule, name: "long", limit: 5 }
    ] as const
    const call = limiter.consume({ rule: brief, key: "ada", cost: 5 }, { rule: long, key: "ada", cost: 5 })
    yield* call
    // As the store says it, and from memory.
    for (let n = 0; n < 2; n++) expect((yield* Effect.flip(call)).rule).toBe("long")
    expect(yield* countsOf(brief, "no")).toEqual([1, 0])
    expect(yield* countsOf(long, "no")).toEqual([1, 2])
  }).pipe(Effect.provide(layer)))

it("while the store is away each check is counted once, whatever its rule does then", () => {
  const { layer } = watched(() => ({ run: () => new StoreUnavailable({ operation: "run", cause: new Error("away") }) }))
  return Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const counts = (onStoreLoss: RateLimiter.Rule["onStoreLoss"]) =>
      Effect.gen(function* () {
        const degraded = { ...rule, name: `degraded_${onStoreLoss}`, onStoreLoss }
        for (let n = 0; n < 7; n++) yield* Effect.either(limiter.consume({ rule: degraded, key: "ada" }))
        const [allowed = 0, limited = 0] = yield* countsOf(degraded, "yes")
        const [, known = 0] = yield* countsOf(degraded, "no")
        return [allowed, limited + known]
      })
    expect(yield* counts("open")).toEqual([7, 0])
    expect(yield* counts("closed")).toEqual([0, 7])
    expect(yield* counts("local")).toEqual([5, 2])
  }).pipe(Effect.provide(layer))
})

it("while the store is away a closed rule says when to come back", () => {
  const { layer } = watched(() => ({ run: () => new StoreUnavailable({ operation: "run", cause: new Error("away") }) }))
  return Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const closed = { ...rule, name: "closed", onStoreLoss: "closed" } as const
    const refused = yield* Effect.flip(limiter.consume({ rule: closed, key: "ada" }))
    expect(refused).toEqual(new RateLimited({ retryAfterMillis: RateLimiter.closedRetryMillis, rule: "closed" }))
  }).pipe(Effect.provide(layer))
})

it("a mistake in the store is a defect, not a store that is away", () => {
  const { layer } = watched(() => ({ run: () => Effect.dieMessage("mistaken") }))
  return Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const exit = yield* Effect.exit(limiter.consume({ rule, key: "ada" }))
    expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
  }).pipe(Effect.provide(layer))
})

test("a refusal is made once for each wait, and no more are kept than the bound", () => {
  const denials = new Denials("test")
  const first = denials.refusal(1)
  for (let wait = 2; wait <= refusalsMax; wait++) denials.refusal(wait)
  expect(denials.refusal(1)).toBe(first)
  denials.refusal(refusalsMax + 1)
  expect(denials.refusal(1)).not.toBe(first)
})

test("a pace is rounded up, so that never more goes through than the rule says", () => {
  expect(pace({ limit: 7, window: "1 second", burst: 3 })).toEqual({ interval: 142_858, tolerance: 428_574 })
})

test("a key from outside is no longer than a hash of it, and another one for each", () => {
  expect(keyOf("a".repeat(64))).toBe("a".repeat(64))
  const long = [keyOf("a".repeat(65)), keyOf("a".repeat(10_000)), keyOf(`${"a".repeat(64)}b`)]
  expect(new Set(long).size).toBe(3)
  for (const key of long) expect(key.length).toBeLessThanOrEqual(64)
  expect(new Meter(rule).storeKey("ada")).toBe("{rate}:test:ada")
})

test("a wait of less than a millisecond is one", () => {
  const denials = new Denials("test")
  denials.note("ada", 0)
  expect([1, 1_000, 1_001, 1_999].map((cost) => denials.wait("ada", cost, 0))).toEqual([1, 1, 2, 2])
})
