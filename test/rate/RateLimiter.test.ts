import { expect, test } from "bun:test"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import fc from "fast-check"
import * as Settings from "../../src/config/Settings.ts"
import { RateLimited, StoreUnavailable } from "../../src/errors.ts"
import * as Gcra from "../../src/rate/Gcra.ts"
import * as RateLimiter from "../../src/rate/RateLimiter.ts"
import { MemoryState } from "../../src/store/MemoryState.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"
import * as Redis from "../kit/Redis.ts"

const settings = (enabled: boolean) => Settings.layerTest((shape) => ({ ...shape, rateLimit: { enabled } }))

const layer = RateLimiter.layer.pipe(Layer.provide([StoreMemory.layer, settings(true)]))

const rule: RateLimiter.Rule = { name: "test", limit: 10, window: "1 second", burst: 5, onStoreLoss: "local" }

const allowed = (limiter: typeof RateLimiter.RateLimiter.Service, ...charges: ReadonlyArray<RateLimiter.Charge>) =>
  Effect.map(Effect.either(limiter.consume(...charges)), Either.isRight)

it("a burst is taken at once and the next after exactly the time it says", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    for (let left = 4; left >= 0; left--) {
      const [quota] = yield* limiter.consume({ rule, key: "ada" })
      expect(quota).toEqual({ rule: "test", limit: 10, remaining: left, resetMillis: (5 - left) * 100 })
    }
    yield* TestClock.adjust("30 millis")
    const refused = yield* Effect.flip(limiter.consume({ rule, key: "ada" }))
    expect(refused).toEqual(new RateLimited({ retryAfterMillis: 70 }))
    yield* TestClock.adjust("69 millis")
    expect(yield* allowed(limiter, { rule, key: "ada" })).toBe(false)
    yield* TestClock.adjust("1 millis")
    expect(yield* allowed(limiter, { rule, key: "ada" })).toBe(true)
  }).pipe(Effect.provide(layer)))

it("several charges are taken together or not at all", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const wide = { ...rule, name: "wide", burst: 8 }
    yield* limiter.consume({ rule, key: "ada", cost: 5 })
    expect(yield* allowed(limiter, { rule: wide, key: "ada" }, { rule, key: "ada" })).toBe(false)
    const [quota] = yield* limiter.consume({ rule: wide, key: "ada" })
    expect(quota!.remaining).toBe(7)
  }).pipe(Effect.provide(layer)))

it("a small charge is not refused because a large one was", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    yield* limiter.consume({ rule, key: "ada", cost: 3 })
    expect(yield* allowed(limiter, { rule, key: "ada", cost: 4 })).toBe(false)
    expect(yield* allowed(limiter, { rule, key: "ada", cost: 2 })).toBe(true)
  }).pipe(Effect.provide(layer)))

it("lets everything through when switched off", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    for (let n = 0; n < 100; n++) expect(yield* limiter.consume({ rule, key: "ada" })).toEqual([])
  }).pipe(Effect.provide(RateLimiter.layer.pipe(Layer.provide([StoreMemory.layer, settings(false)])))))

const away = Layer.effect(
  Store,
  Effect.map(StoreMemory.make(), (store) => ({
    ...store,
    run: () => new StoreUnavailable({ operation: "run", cause: new Error("away") })
  }))
)

it("without the store each rule does as it says: open, closed, or counted in this process", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const uses = (onStoreLoss: RateLimiter.Rule["onStoreLoss"]) =>
      Effect.map(
        Effect.replicateEffect(allowed(limiter, { rule: { ...rule, name: onStoreLoss, onStoreLoss }, key: "ada" }), 20),
        (outcomes) => outcomes.filter((ok) => ok).length
      )
    expect(yield* uses("open")).toBe(20)
    expect(yield* uses("closed")).toBe(0)
    expect(yield* uses("local")).toBe(5)
  }).pipe(Effect.provide(RateLimiter.layer.pipe(Layer.provide([away, settings(true)])))))

/** Steps of a schedule: how long to pause, then how much to ask for. */
const schedule = fc.record({
  limit: fc.integer({ min: 1, max: 50 }),
  window: fc.integer({ min: 100, max: 10_000 }),
  burst: fc.integer({ min: 1, max: 20 }),
  steps: fc.array(
    fc.record({
      pauseMicros: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 3_000_000 })),
      cost: fc.integer({ min: 1, max: 5 })
    }),
    { maxLength: 60 }
  )
})

test("in no stretch of time does more than burst + limit x time go through, whatever the schedule", () =>
  fc.assert(
    fc.property(schedule, ({ burst, limit, steps, window }) => {
      const data = new MemoryState({ keysMax: 10, unitsMax: 1_000 }, () => undefined)
      const { interval, tolerance } = Gcra.pace({ limit, window: Duration.millis(window), burst })
      let now = 1_700_000_000_000_000
      const taken: Array<{ readonly at: number; readonly cost: number }> = []
      for (const { cost, pauseMicros } of steps) {
        now += pauseMicros
        data.nowMillis = now / 1_000
        const args = [now, interval, tolerance, Math.min(cost, burst) * interval].map(String)
        const [verdict] = Gcra.take.memory(data, ["key"], args, data.nowMillis)
        if (verdict!.waitMicros === 0) taken.push({ at: now, cost: Math.min(cost, burst) })
      }
      for (const [from, first] of taken.entries()) {
        let sum = 0
        for (const { at, cost } of taken.slice(from)) {
          sum += cost
          expect(sum).toBeLessThanOrEqual(burst + (limit * (at - first.at)) / (window * 1_000) + 1e-9)
        }
      }
    }),
    { numRuns: 500 }
  ))

it.live("on Redis a hundred calls at once get the burst and no more", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const slow = { ...rule, name: "slow", limit: 1, window: "1 hour", burst: 7 } as const
    const outcomes = yield* Effect.all(
      Array.from({ length: 100 }, () => allowed(limiter, { rule: slow, key: "ada" })),
      { concurrency: 100 }
    )
    expect(outcomes.filter((ok) => ok).length).toBe(7)
  }).pipe(Effect.provide(RateLimiter.layer.pipe(Layer.provide([Redis.layerStore, settings(true)]))))
)
