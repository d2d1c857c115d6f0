import { expect, test } from "bun:test"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import fc from "fast-check"
import * as RedisStore from "../../layers/store/RedisStore.ts"
import * as Settings from "../../src/config/Settings.ts"
import { RateLimited, StoreUnavailable } from "../../src/errors.ts"
import { Denials, denialsMax } from "../../src/rate/Denials.ts"
import * as Gcra from "../../src/rate/Gcra.ts"
import * as RateLimiter from "../../src/rate/RateLimiter.ts"
import { Meter } from "../../src/rate/Meter.ts"
import { pace } from "../../src/rate/Rule.ts"
import { Tally } from "../../src/rate/Tally.ts"
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
      expect(quota).toEqual({ rule, remaining: left, resetMillis: (5 - left) * 100 })
    }
    yield* TestClock.adjust("30 millis")
    const refused = yield* Effect.flip(limiter.consume({ rule, key: "ada" }))
    expect(refused).toEqual(new RateLimited({ retryAfterMillis: 70, rule: "test" }))
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

it("who was refused a small charge is told the exact wait for a large one, here as by the store", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    yield* limiter.consume({ rule, key: "ada", cost: 5 })
    expect((yield* Effect.flip(limiter.consume({ rule, key: "ada" }))).retryAfterMillis).toBe(100)
    const { retryAfterMillis } = yield* Effect.flip(limiter.consume({ rule, key: "ada", cost: 4 }))
    expect(retryAfterMillis).toBe(400)
    yield* TestClock.adjust(retryAfterMillis)
    expect(yield* allowed(limiter, { rule, key: "ada", cost: 4 })).toBe(true)
  }).pipe(Effect.provide(layer)))

it("a key that one call charges twice is denied no longer than what it owes", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    yield* limiter.consume({ rule, key: "ada", cost: 3 })
    const both = yield* Effect.flip(limiter.consume({ rule, key: "ada", cost: 3 }, { rule, key: "ada", cost: 2 }))
    expect(both.retryAfterMillis).toBe(300)
    expect(yield* allowed(limiter, { rule, key: "ada", cost: 2 })).toBe(true)
    const twice = { rule, key: "bob", cost: 3 }
    expect(yield* allowed(limiter, twice, twice)).toBe(false)
    expect(yield* allowed(limiter, twice)).toBe(true)
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
    backend: "redis" as const,
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

it.live("the same when Redis is killed, without a wait, and its limits count again when it is back", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start()
    const store = Layer.scoped(Store, RedisStore.make(Redis.address(redis)))
    yield* Effect.gen(function* () {
      const limiter = yield* RateLimiter.RateLimiter
      const slow = { ...rule, limit: 1, window: "1 hour" } as const
      const uses = (onStoreLoss: RateLimiter.Rule["onStoreLoss"], key: string) =>
        Effect.map(
          Effect.replicateEffect(allowed(limiter, { rule: { ...slow, name: onStoreLoss, onStoreLoss }, key }), 20),
          (outcomes) => outcomes.filter((ok) => ok).length
        )
      yield* uses("local", "warm")
      yield* redis.kill
      yield* Effect.repeat(Effect.either((yield* Store).ping), { until: Either.isLeft })
      const [took, passed] = yield* Effect.timed(
        Effect.forEach(["open", "closed", "local"] as const, (one) => uses(one, "ada"))
      )
      expect(passed).toEqual([20, 0, 5])
      expect(Duration.toMillis(took)).toBeLessThan(250)
      yield* redis.restart
      yield* Effect.retry((yield* Store).ping, Schedule.spaced("10 millis"))
      expect(yield* uses("open", "bob")).toBe(5)
    }).pipe(Effect.provide(RateLimiter.layer.pipe(Layer.provide(settings(true)), Layer.provideMerge(store))))
  })
)

/** Calls of several people over several rules; each pauses, then asks for its charges together. */
const schedule = fc.record({
  rules: fc.array(
    fc.record({
      limit: fc.integer({ min: 1, max: 50 }),
      window: fc.integer({ min: 100, max: 10_000 }).map(Duration.millis),
      burst: fc.integer({ min: 1, max: 20 })
    }),
    { minLength: 1, maxLength: 3 }
  ),
  turns: fc.array(
    fc.record({
      pauseMicros: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 3_000_000 })),
      calls: fc.array(
        fc.array(
          fc.record({
            rule: fc.nat({ max: 2 }),
            key: fc.constantFrom("ada", "bob"),
            cost: fc.integer({ min: 1, max: 5 })
          }),
          { minLength: 1, maxLength: 3 }
        ),
        { minLength: 1, maxLength: 5 }
      )
    }),
    { maxLength: 40 }
  )
})

type Schedule = typeof schedule extends fc.Arbitrary<infer S> ? S : never

interface Use {
  readonly at: number
  readonly cost: number
}

/** Plays a schedule against a store, at times of its own; what was taken by rule and key. */
const play = (store: typeof Store.Service, { rules, turns }: Schedule, name: string) =>
  Effect.gen(function* () {
    const taken = new Map<string, { readonly rule: Schedule["rules"][number]; readonly uses: Array<Use> }>()
    let now = 1_700_000_000_000_000
    for (const { calls, pauseMicros } of turns) {
      now += pauseMicros
      const all = calls.map((charges) =>
        charges.map(({ cost, key, rule }) => {
          const { burst, limit, window } = rules[rule % rules.length]!
          const { interval, tolerance } = pace({ limit, window, burst })
          const units = Math.min(cost, burst)
          return {
            rule: rules[rule % rules.length]!,
            key: `${name}:${rule % rules.length}:${key}`,
            units,
            tolerance,
            cost: units * interval
          }
        })
      )
      const keys = all.flat().map(({ key }) => key)
      const ahead = [...(yield* store.run(Gcra.take, keys, Gcra.argsOf(all, now)))]
      for (const charges of all) {
        const before = ahead.splice(0, charges.length)
        if (charges.some(({ cost, tolerance }, index) => before[index]! + cost > tolerance)) continue
        for (const { key, rule, units } of charges) {
          const { uses } = taken.get(key) ?? { uses: [] }
          taken.set(key, { rule, uses: [...uses, { at: now, cost: units }] })
        }
      }
    }
    return taken
  })

/** In no stretch of time may a key have more than its rule says. */
const holds = (taken: Effect.Effect.Success<ReturnType<typeof play>>): void => {
  for (const { rule, uses } of taken.values()) {
    for (const [from, first] of uses.entries()) {
      let sum = 0
      for (const { at, cost } of uses.slice(from)) {
        sum += cost
        const most = rule.burst + (rule.limit * (at - first.at)) / (Duration.toMillis(rule.window) * 1_000)
        expect(sum).toBeLessThanOrEqual(most + 1e-9)
      }
    }
  }
}

it.live("in no stretch of time does more than burst + limit x time go through, whatever the schedule", () =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(schedule, (plan) =>
        Effect.runPromise(
          Effect.map(
            Effect.flatMap(StoreMemory.make(), (store) => play(store, plan, "m")),
            holds
          )
        )
      ),
      { numRuns: 100 }
    )
  )
)

it.live("the same holds on Redis", () =>
  Effect.gen(function* () {
    const store = yield* Redis.patientStore(yield* Redis.shared)
    let plans = 0
    yield* Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(schedule, (plan) =>
          Effect.runPromise(Effect.map(play(store, plan, `{rate}:${plans++}`), holds))
        ),
        { numRuns: 30 }
      )
    )
  })
)

it("under the limiter's own clock no more than burst + limit x time goes through either", () =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 400 }), { maxLength: 60 }), (pauses) =>
        Effect.runPromise(
          Effect.gen(function* () {
            const limiter = yield* RateLimiter.RateLimiter
            let passed = 0
            let elapsed = 0
            for (const pause of pauses) {
              yield* TestClock.adjust(pause)
              elapsed += pause
              if (yield* allowed(limiter, { rule, key: "ada" })) passed++
              expect(passed).toBeLessThanOrEqual(rule.burst + elapsed / 100)
            }
          }).pipe(Effect.provide(layer), Effect.provide(TestContext.TestContext))
        )
      ),
      { numRuns: 12 }
    )
  ))

it("who waits exactly as long as it was told gets through, and not a moment before", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const slow = { ...rule, name: "slow", limit: 1, window: "7 seconds", burst: 1 } as const
    yield* limiter.consume({ rule: slow, key: "ada" })
    for (let n = 0; n < 3; n++) {
      const { retryAfterMillis } = yield* Effect.flip(limiter.consume({ rule: slow, key: "ada" }))
      yield* TestClock.adjust(retryAfterMillis - 1)
      expect(yield* allowed(limiter, { rule: slow, key: "ada" })).toBe(false)
      yield* TestClock.adjust(1)
      expect(yield* allowed(limiter, { rule: slow, key: "ada" })).toBe(true)
    }
  }).pipe(Effect.provide(layer)))

/** A store elsewhere, as far as the limiter knows, that counts what it is asked. */
const counting = Layer.effect(
  Store,
  Effect.map(StoreMemory.make(), (store) => ({
    ...store,
    backend: "redis" as const,
    run: ((...args: Parameters<typeof store.run>) => {
      asked++
      return store.run(...args)
    }) as typeof store.run
  }))
)
let asked = 0

it("calls of one turn and all their rules are one round trip to the store", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    asked = 0
    const wide = { ...rule, name: "wide", burst: 8 }
    const call = (key: string) => limiter.consume({ rule, key: "10.0.0.1" }, { rule: wide, key })
    const outcomes = yield* Effect.all(["ada", "bob", "cem"].map(call), { concurrency: "unbounded" })
    expect(outcomes.map((quotas) => quotas.map(({ remaining }) => remaining))).toEqual([
      [4, 7],
      [3, 7],
      [2, 7]
    ])
    expect(asked).toBe(1)
  }).pipe(Effect.provide(RateLimiter.layer.pipe(Layer.provide([counting, settings(true)])))))

it("a key that is known to be refused is refused here, at once and without asking, until its time", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    yield* limiter.consume({ rule, key: "ada", cost: 5 })
    expect(limiter.counted({ rule, key: "ada" })).toBeUndefined()
    yield* Effect.flip(limiter.consume({ rule, key: "ada" }))
    asked = 0
    expect(limiter.counted({ rule, key: "ada" })).toEqual(
      Exit.fail(new RateLimited({ retryAfterMillis: 100, rule: "test" }))
    )
    yield* TestClock.adjust("99 millis")
    expect(yield* allowed(limiter, { rule, key: "ada" })).toBe(false)
    expect(asked).toBe(0)
    yield* TestClock.adjust("1 millis")
    expect(limiter.counted({ rule, key: "ada" })).toBeUndefined()
    expect(yield* allowed(limiter, { rule, key: "ada" })).toBe(true)
  }).pipe(Effect.provide(RateLimiter.layer.pipe(Layer.provide([counting, settings(true)])))))

test("what is owed is remembered until half of the bound other keys have come, and no more keys are", () => {
  const tally = new Tally(100)
  const meter = new Meter(rule)
  const take = (key: string) => tally.take([{ meter, key, tolerance: meter.tolerance, cost: meter.interval }], 0)[0]
  expect(take("ada")).toBe(0)
  for (let n = 0; n < 49; n++) take(`one ${n}`)
  expect(take("ada")).toBe(100_000)
  for (let n = 0; n < 49; n++) take(`two ${n}`)
  expect(take("ada")).toBe(200_000)
  for (let n = 0; n < 100; n++) take(`three ${n}`)
  expect(take("ada")).toBe(0)
  expect(take("one 0")).toBe(0)
})

test("no more denials are remembered than the bound", () => {
  const denials = new Denials("test")
  for (let n = 0; n <= denialsMax; n++) denials.note(String(n), 0)
  expect(denials.wait("0", 1_000, 0)).toBe(0)
  expect(denials.wait("1", 1_000, 0)).toBe(1)
})

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
