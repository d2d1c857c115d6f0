import { expect } from "bun:test"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import { AtHand, answersPerTurn, type Source } from "../../src/cache/AtHand.ts"
import * as Cache from "../../src/cache/Cache.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Conflict } from "../../src/errors.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

const services = Layer.merge(StoreMemory.layer, Settings.layerTest())

/** The two ways to run a read: by `yield*`, which may find it at hand, and as a step of the fiber. */
const ways: ReadonlyArray<<A, E>(read: Effect.Effect<A, E>) => Effect.Effect<A, E>> = [
  (read) =>
    Effect.gen(function* () {
      return yield* read
    }),
  (read) => Effect.map(read, (value) => value)
]

/** Numbers by name, each looked up as one more than the last. */
const counting = (more: Partial<Cache.Options<string, number, number, never, never>> = {}) => {
  let count = 0
  return Cache.make({
    name: "number",
    key: (id: string) => id,
    schema: Schema.Number,
    ttl: "30 minutes",
    near: { entriesMax: 100, ttl: "10 minutes" },
    lookup: () => Effect.sync(() => Option.some(++count)),
    ...more
  })
}

it("a read made once is run anew each time, and sees what changed and what ran out between", () =>
  Effect.gen(function* () {
    for (const way of ways) {
      const cache = yield* counting()
      yield* cache.invalidate("a")
      const read = cache.get("a")
      expect(yield* way(read)).toEqual(Option.some(1))
      yield* cache.set("a", 10)
      expect(yield* way(read)).toEqual(Option.some(10))
      yield* cache.invalidate("a")
      expect(yield* way(read)).toEqual(Option.some(2))
      yield* TestClock.adjust("29 minutes")
      expect(yield* way(read)).toEqual(Option.some(2))
      yield* TestClock.adjust("1 minutes")
      expect(yield* way(read)).toEqual(Option.some(3))
      const { misses, nearHits, storeHits } = yield* cache.stats
      expect({ misses, nearHits, storeHits }).toEqual({ misses: 3, nearHits: 1, storeHits: 1 })
    }
  }).pipe(Effect.provide(services)))

it("making a read begins nothing", () =>
  Effect.gen(function* () {
    const cache = yield* counting()
    const read = cache.get("a")
    yield* Effect.yieldNow()
    expect((yield* cache.stats).misses).toBe(0)
    yield* read
    expect((yield* cache.stats).misses).toBe(1)
  }).pipe(Effect.provide(services)))

it("remembered absence is answered at hand, and a value past refreshAt begins its refresh", () =>
  Effect.gen(function* () {
    for (const way of ways) {
      const absent = yield* counting({ name: "absent", negativeTtl: "1 minute", lookup: () => Effect.succeedNone })
      expect(yield* way(absent.get("a"))).toEqual(Option.none())
      expect(yield* way(absent.get("a"))).toEqual(Option.none())
      const cache = yield* counting({ refreshAt: 0.1 })
      yield* cache.invalidate("a")
      expect(yield* way(cache.get("a"))).toEqual(Option.some(1))
      yield* TestClock.adjust("5 minutes")
      expect(yield* way(cache.get("a"))).toEqual(Option.some(1))
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      expect(yield* way(cache.get("a"))).toEqual(Option.some(2))
    }
  }).pipe(Effect.provide(services)))

it("values age by the clock that the cache was made under", () =>
  Effect.gen(function* () {
    const cache = yield* counting()
    const stopped = yield* Effect.map(Effect.clock, (clock): Clock.Clock =>
      Object.create(clock, { unsafeCurrentTimeMillis: { value: () => 0 } })
    )
    yield* cache.get("a")
    yield* TestClock.adjust("30 minutes")
    for (const way of ways) expect(yield* Effect.withClock(way(cache.get("a")), stopped)).toEqual(Option.some(2))
  }).pipe(Effect.provide(services)))

it("a failure that is known at once fails the generator", () =>
  Effect.gen(function* () {
    const refused = new Conflict({ message: "known" })
    const source: Source<string, never, Conflict> = { peek: () => Exit.fail(refused), read: () => Effect.die("asked") }
    for (const way of ways) expect(yield* Effect.flip(way(new AtHand(source, "a")))).toBe(refused)
  }))

it("a loop over what is at hand lets others run, and can be interrupted", () =>
  Effect.gen(function* () {
    const source: Source<string, number, never> = { peek: () => Exit.succeed(1), read: () => Effect.die("asked") }
    let reads = 0
    const loop = yield* Effect.fork(
      Effect.gen(function* () {
        for (;;) reads += yield* new AtHand(source, "a")
      })
    )
    yield* Effect.repeatN(Effect.yieldNow(), 3)
    expect(reads).toBeGreaterThan(0)
    yield* Fiber.interrupt(loop)
    expect(reads).toBeLessThan(10 * answersPerTurn)
  }))
