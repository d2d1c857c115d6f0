import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Cache from "../../src/cache/Cache.ts"
import { leaseWait } from "../../src/cache/Options.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Conflict, StoreUnavailable } from "../../src/errors.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

const services = Layer.mergeAll(StoreMemory.layer, Settings.layerTest())

const Profile = Schema.Struct({ name: Schema.String, bio: Schema.optional(Schema.String) })

const options = {
  name: "profile",
  key: (id: string) => id,
  schema: Profile,
  ttl: "30 minutes",
  near: { entriesMax: 100, ttl: "1 minute" }
} as const

/** A cache over a lookup that counts its calls and answers from `rows`. */
const counted = (
  more: Partial<Cache.Options<string, typeof Profile.Type, typeof Profile.Encoded, never, never>> = {}
) =>
  Effect.gen(function* () {
    const rows = new Map<string, typeof Profile.Type>([["ada", { name: "Ada" }]])
    const asked: Array<string> = []
    const cache = yield* Cache.make({
      ...options,
      lookup: (id) => Effect.sync(() => (asked.push(id), Option.fromNullable(rows.get(id)))),
      ...more
    })
    return { cache, rows, asked }
  })

/** Processes on one store: each `Effect` that is provided with its own has its own client. */
const processes = () => {
  const server = StoreMemory.server()
  return () =>
    Effect.provide(
      Layer.merge(
        Layer.sync(Store, () => StoreMemory.connect(server)),
        Settings.layerTest()
      )
    )
}

/** Lets the fibers that fill the store and follow other caches run until they wait. */
const settle = Effect.repeatN(Effect.yieldNow(), 20)

it("a value is looked up once, then answered from near", () =>
  Effect.gen(function* () {
    const { asked, cache } = yield* counted()
    expect(yield* cache.get("ada")).toEqual(Option.some({ name: "Ada" }))
    expect(yield* cache.get("ada")).toEqual(Option.some({ name: "Ada" }))
    expect(asked).toEqual(["ada"])
    expect(yield* cache.hitRate).toBe(0.5)
  }).pipe(Effect.provide(services)))

it("a second cache of the name gets it from the store", () =>
  Effect.gen(function* () {
    const process = processes()
    const first = yield* counted().pipe(process())
    const second = yield* counted().pipe(process())
    yield* first.cache.get("ada")
    yield* settle
    yield* second.cache.get("ada")
    expect(second.asked).toEqual([])
    expect((yield* second.cache.stats).storeHits).toBe(1)
  }))

it("callers of one key share one lookup, and interrupting the first harms none of the others", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    let lookups = 0
    const cache = yield* Cache.make({
      ...options,
      lookup: () =>
        Effect.as(
          Effect.zipRight(
            Effect.sync(() => lookups++),
            Deferred.await(gate)
          ),
          Option.some({ name: "Ada" })
        )
    })
    const first = yield* Effect.fork(cache.get("ada"))
    yield* settle
    const others = yield* Effect.fork(
      Effect.all(
        Array.from({ length: 50 }, () => cache.get("ada")),
        { concurrency: 50 }
      )
    )
    yield* settle
    yield* Fiber.interrupt(first)
    yield* Deferred.succeed(gate, undefined)
    expect((yield* Fiber.join(others)).every(Option.isSome)).toBe(true)
    expect(lookups).toBe(1)
  }).pipe(Effect.provide(services)))

it("the lookup's typed error reaches the caller and is not cached", () =>
  Effect.gen(function* () {
    let fail = true
    const cache = yield* Cache.make({
      ...options,
      lookup: () => (fail ? new Conflict({ message: "no" }) : Effect.succeed(Option.some({ name: "Ada" })))
    })
    expect(yield* Effect.flip(cache.get("ada"))).toBeInstanceOf(Conflict)
    fail = false
    expect(yield* cache.get("ada")).toEqual(Option.some({ name: "Ada" }))
  }).pipe(Effect.provide(services)))

it("a stale value is served within grace when the lookup fails, and not after it", () =>
  Effect.gen(function* () {
    let fail = false
    const cache = yield* Cache.make({
      ...options,
      ttl: "1 minute",
      grace: "5 minutes",
      lookup: () => (fail ? new Conflict({ message: "no" }) : Effect.succeed(Option.some({ name: "Ada" })))
    })
    yield* cache.get("ada")
    fail = true
    yield* TestClock.adjust("2 minutes")
    expect(yield* cache.get("ada")).toEqual(Option.some({ name: "Ada" }))
    expect((yield* cache.stats).stale).toBe(1)
    yield* TestClock.adjust("5 minutes")
    expect(yield* Effect.flip(cache.get("ada"))).toBeInstanceOf(Conflict)
  }).pipe(Effect.provide(services)))

it("an invalidated key is looked up again, in every cache of the name", () =>
  Effect.gen(function* () {
    const process = processes()
    const first = yield* counted().pipe(process())
    const second = yield* counted().pipe(process())
    yield* first.cache.get("ada")
    yield* second.cache.get("ada")
    second.rows.set("ada", { name: "Lady Ada" })
    first.rows.set("ada", { name: "Lady Ada" })
    yield* first.cache.invalidate("ada")
    yield* settle
    expect(yield* second.cache.get("ada")).toEqual(Option.some({ name: "Lady Ada" }))
    expect(yield* first.cache.get("ada")).toEqual(Option.some({ name: "Lady Ada" }))
  }))

it("a lookup begun before an invalidation does not put its old value back", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const process = processes()
    const slow = yield* counted({
      lookup: () => Effect.as(Deferred.await(gate), Option.some({ name: "Old" }))
    }).pipe(process())
    const other = yield* counted().pipe(process())
    const reader = yield* Effect.fork(slow.cache.get("ada"))
    yield* settle
    yield* other.cache.invalidate("ada")
    yield* Deferred.succeed(gate, undefined)
    expect(yield* Fiber.join(reader)).toEqual(Option.some({ name: "Old" }))
    expect(yield* other.cache.get("ada")).toEqual(Option.some({ name: "Ada" }))
    yield* settle
    expect(yield* slow.cache.get("ada")).toEqual(Option.some({ name: "Ada" }))
  }))

it("getMany asks for what is missing in one lookup", () =>
  Effect.gen(function* () {
    const asked: Array<ReadonlyArray<string>> = []
    const cache = yield* Cache.make({
      ...options,
      lookupMany: (ids: ReadonlyArray<string>) =>
        Effect.sync(() => {
          asked.push(ids)
          return new Map(ids.filter((id) => id !== "nobody").map((id) => [id, { name: id }]))
        })
    })
    yield* cache.get("ada")
    const found = yield* cache.getMany(["ada", "bob", "nobody", "bob"])
    expect([...found.keys()].sort()).toEqual(["ada", "bob"])
    expect(asked).toEqual([["ada"], ["bob", "nobody"]])
  }).pipe(Effect.provide(services)))

it("absence is remembered only with negativeTtl", () =>
  Effect.gen(function* () {
    const forgetful = yield* counted()
    yield* forgetful.cache.get("bob")
    yield* forgetful.cache.get("bob")
    expect(forgetful.asked).toEqual(["bob", "bob"])
    const mindful = yield* counted({ name: "mindful", negativeTtl: "10 seconds" })
    yield* mindful.cache.get("bob")
    yield* mindful.cache.get("bob")
    yield* TestClock.adjust("11 seconds")
    yield* mindful.cache.get("bob")
    expect(mindful.asked).toEqual(["bob", "bob"])
  }).pipe(Effect.provide(services)))

/** A memory store that fails while `down.now`. */
const flaky = (down: { now: boolean }) =>
  Layer.effect(
    Store,
    Effect.map(StoreMemory.make(), (store): typeof Store.Service => {
      const away = new StoreUnavailable({ operation: "test", cause: new Error("away") })
      const orAway = <A>(effect: Effect.Effect<A, StoreUnavailable>) => Effect.suspend(() => (down.now ? away : effect))
      return {
        ...store,
        getStored: (keys) => orAway(store.getStored(keys)),
        set: (key, value, settings) => orAway(store.set(key, value, settings)),
        setMany: (entries, ttl) => orAway(store.setMany(entries, ttl)),
        remove: (...keys) => orAway(store.remove(...keys)),
        run: (script, keys, args) => orAway(store.run(script, keys, args))
      }
    })
  )

it("a store that is away costs only the lookup", () => {
  const down = { now: true }
  return Effect.gen(function* () {
    const { asked, cache } = yield* counted({ near: { entriesMax: 1, ttl: "1 millis" } })
    for (let n = 0; n < 3; n++) {
      expect(yield* cache.get("ada")).toEqual(Option.some({ name: "Ada" }))
      yield* TestClock.adjust("1 second")
    }
    expect(asked.length).toBe(3)
  }).pipe(Effect.provide(Layer.mergeAll(flaky(down), Settings.layerTest())))
})

it("an invalidation that the store did not take is made up for when it is back, and until then the store is not read", () => {
  const down = { now: false }
  return Effect.gen(function* () {
    const { cache, rows } = yield* counted()
    yield* cache.get("ada")
    yield* settle
    down.now = true
    rows.set("ada", { name: "Lady Ada" })
    yield* cache.invalidate("ada")
    down.now = false
    expect(yield* cache.get("ada")).toEqual(Option.some({ name: "Lady Ada" }))
    yield* TestClock.adjust("1 second")
    const other = yield* counted()
    other.rows.set("ada", { name: "Lady Ada" })
    expect(yield* other.cache.get("ada")).toEqual(Option.some({ name: "Lady Ada" }))
  }).pipe(Effect.provide(Layer.mergeAll(flaky(down), Settings.layerTest())))
})

it("a value set through is answered here and elsewhere without a lookup", () =>
  Effect.gen(function* () {
    const process = processes()
    const here = yield* counted().pipe(process())
    const there = yield* counted().pipe(process())
    yield* there.cache.get("ada")
    yield* here.cache.set("ada", { name: "Countess" })
    yield* settle
    expect(yield* here.cache.get("ada")).toEqual(Option.some({ name: "Countess" }))
    expect(yield* there.cache.get("ada")).toEqual(Option.some({ name: "Countess" }))
    expect(here.asked).toEqual([])
  }))

/** A cache that writes behind into `written`, failing the first `failures` times. */
const behind = (failures = 0) =>
  Effect.gen(function* () {
    const written: Array<ReadonlyArray<readonly [string, { readonly name: string }]>> = []
    let left = failures
    const cache = yield* Cache.make({
      ...options,
      writeMany: (entries) =>
        Effect.suspend(() => (left-- > 0 ? Effect.fail("not now") : Effect.sync(() => void written.push(entries))))
    })
    return { cache, written }
  })

it("values set behind are readable at once and written in one batch, the newest of each key", () =>
  Effect.gen(function* () {
    const { cache, written } = yield* behind()
    yield* cache.setBehind("ada", { name: "1" })
    yield* cache.setBehind("bob", { name: "2" })
    yield* cache.setBehind("ada", { name: "3" })
    expect(yield* cache.get("ada")).toEqual(Option.some({ name: "3" }))
    expect(written).toEqual([])
    yield* TestClock.adjust("100 millis")
    expect(written.map((batch) => Object.fromEntries(batch))).toEqual([{ ada: { name: "3" }, bob: { name: "2" } }])
  }).pipe(Effect.provide(services)))

it("a batch behind is tried again, and given up and counted after five times", () =>
  Effect.gen(function* () {
    const patient = yield* behind(Cache.behindTries - 1)
    const hopeless = yield* behind(Cache.behindTries)
    yield* patient.cache.setBehind("ada", { name: "1" })
    yield* hopeless.cache.setBehind("ada", { name: "1" })
    yield* TestClock.adjust("1 minute")
    expect(patient.written.length).toBe(1)
    expect((yield* patient.cache.stats).lost).toBe(0)
    expect((yield* hopeless.cache.stats).lost).toBe(1)
  }).pipe(Effect.provide(services), Logger.withMinimumLogLevel(LogLevel.None)))

it("what waits behind is written when the scope closes", () =>
  Effect.gen(function* () {
    const { written } = yield* Effect.scoped(Effect.tap(behind(), ({ cache }) => cache.setBehind("ada", { name: "1" })))
    expect(written.length).toBe(1)
  }).pipe(Effect.provide(services)))

it("at its bound the near cache drops what was not read", () =>
  Effect.gen(function* () {
    const { cache, rows } = yield* counted({ near: { entriesMax: 10, ttl: "1 minute" } })
    for (let n = 0; n < 30; n++) rows.set(`id${n}`, { name: "x" })
    yield* cache.get("ada")
    for (let n = 0; n < 30; n++) {
      yield* cache.get(`id${n}`)
      yield* cache.get("ada")
    }
    const { evictions, nearEntries, storeHits } = yield* cache.stats
    expect({ evictions, nearEntries, storeHits }).toEqual({ evictions: 21, nearEntries: 10, storeHits: 0 })
  }).pipe(Effect.provide(services)))

it("large values are compressed in the store when settings say so, and come back the same", () =>
  Effect.gen(function* () {
    const store = yield* Store
    const bio = "ünïcødé and again ".repeat(1_000)
    const first = yield* counted()
    yield* first.cache.set("ada", { name: "Ada", bio })
    const text = Option.getOrThrow(yield* store.get("cache:profile:ada"))
    expect(text.length).toBeLessThan(bio.length / 5)
    const second = yield* counted()
    expect(yield* second.cache.get("ada")).toEqual(Option.some({ name: "Ada", bio }))
  }).pipe(
    Effect.provide(
      Layer.mergeAll(
        StoreMemory.layer,
        Settings.layerTest((shape) => ({ ...shape, cache: { ...shape.cache, compression: true } }))
      )
    )
  ))

/** A cache whose lookups wait for `gate`, in a process of its own. */
const gated = (gate: Deferred.Deferred<void>, lookups: { count: number }) =>
  Cache.make({
    ...options,
    lookup: (id) =>
      Effect.zipRight(
        Effect.sync(() => lookups.count++),
        Effect.as(Deferred.await(gate), Option.some({ name: id }))
      )
  })

it("processes share one lookup of a missing key", () =>
  Effect.gen(function* () {
    const process = processes()
    const gate = yield* Deferred.make<void>()
    const lookups = { count: 0 }
    const nodes = yield* Effect.all([1, 2, 3].map(() => gated(gate, lookups).pipe(process())))
    const callers = nodes.flatMap((cache) => Array.from({ length: 20 }, () => cache.get("ada")))
    const reading = yield* Effect.fork(Effect.all(callers, { concurrency: "unbounded" }))
    yield* settle
    yield* Deferred.succeed(gate, undefined)
    expect((yield* Fiber.join(reading)).map((found) => Option.getOrThrow(found).name)).toEqual(callers.map(() => "ada"))
    expect(lookups.count).toBe(1)
  }))

it("when the process that looks up is gone, another does it after the wait", () =>
  Effect.gen(function* () {
    const process = processes()
    const never = yield* Deferred.make<void>()
    const open = yield* Deferred.make<void>()
    yield* Deferred.succeed(open, undefined)
    const lookups = { count: 0 }
    const dead = yield* gated(never, lookups).pipe(process())
    const alive = yield* gated(open, lookups).pipe(process())
    yield* Effect.fork(dead.get("ada"))
    yield* settle
    const reading = yield* Effect.fork(alive.get("ada"))
    yield* TestClock.adjust("1 second")
    expect(lookups.count).toBe(1)
    yield* TestClock.adjust(leaseWait)
    expect(yield* Fiber.join(reading)).toEqual(Option.some({ name: "ada" }))
    expect(lookups.count).toBe(2)
  }))

it("a lookup that fails in one process is tried by the next without a wait", () =>
  Effect.gen(function* () {
    const process = processes()
    const gate = yield* Deferred.make<void>()
    const failing = yield* Cache.make({
      ...options,
      lookup: () => Effect.zipRight(Deferred.await(gate), new Conflict({ message: "no" }))
    }).pipe(process())
    const { asked, cache } = yield* counted().pipe(process())
    const first = yield* Effect.fork(Effect.flip(failing.get("ada")))
    yield* settle
    const second = yield* Effect.fork(cache.get("ada"))
    yield* settle
    expect(asked).toEqual([])
    yield* Deferred.succeed(gate, undefined)
    expect(yield* Fiber.join(first)).toBeInstanceOf(Conflict)
    expect(yield* Fiber.join(second)).toEqual(Option.some({ name: "Ada" }))
  }))

it("a value past refreshAt is looked up once more, by one process, while all are served the old one", () =>
  Effect.gen(function* () {
    const process = processes()
    const early = { ttl: "10 minutes", refreshAt: 0.8, near: { entriesMax: 10, ttl: "10 minutes" } } as const
    const first = yield* counted(early).pipe(process())
    const second = yield* counted(early).pipe(process())
    yield* first.cache.get("ada")
    yield* settle
    yield* second.cache.get("ada")
    for (const { rows } of [first, second]) rows.set("ada", { name: "Lady Ada" })
    yield* TestClock.adjust("8 minutes")
    for (const { cache } of [first, second]) expect(yield* cache.get("ada")).toEqual(Option.some({ name: "Ada" }))
    yield* settle
    expect([...first.asked, ...second.asked]).toEqual(["ada", "ada"])
    expect((yield* first.cache.stats).misses + (yield* second.cache.stats).misses).toBe(1)
    for (const { cache } of [first, second]) expect(yield* cache.get("ada")).toEqual(Option.some({ name: "Lady Ada" }))
  }))

it("one refresh at a time, and a failing one leaves the old value until its time is over", () =>
  Effect.gen(function* () {
    let lookups = 0
    const cache = yield* Cache.make({
      ...options,
      ttl: "10 minutes",
      refreshAt: 0.5,
      lookup: () => (lookups++ === 0 ? Effect.succeed(Option.some({ name: "Ada" })) : new Conflict({ message: "no" }))
    })
    yield* cache.get("ada")
    yield* TestClock.adjust("6 minutes")
    for (let n = 0; n < 5; n++) yield* cache.get("ada")
    yield* settle
    expect(lookups).toBe(2)
    yield* TestClock.adjust("2 minutes")
    expect(yield* cache.get("ada")).toEqual(Option.some({ name: "Ada" }))
    yield* TestClock.adjust("3 minutes")
    expect(yield* Effect.flip(cache.get("ada"))).toBeInstanceOf(Conflict)
  }).pipe(Effect.provide(services)))
