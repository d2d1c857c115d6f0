import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import * as Cache from "../../src/cache/Cache.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Conflict } from "../../src/errors.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

const services = Layer.mergeAll(StoreMemory.layer, Broadcast.layerLocal, Settings.layerTest())

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
    const rows = new Map([["ada", { name: "Ada" }]])
    const asked: Array<string> = []
    const cache = yield* Cache.make({
      ...options,
      lookup: (id) => Effect.sync(() => (asked.push(id), Option.fromNullable(rows.get(id)))),
      ...more
    })
    return { cache, rows, asked }
  })

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
    const first = yield* counted()
    const second = yield* counted()
    yield* first.cache.get("ada")
    yield* settle
    yield* second.cache.get("ada")
    expect(second.asked).toEqual([])
    expect((yield* second.cache.stats).storeHits).toBe(1)
  }).pipe(Effect.provide(services)))

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
    const first = yield* counted()
    const second = yield* counted()
    yield* first.cache.get("ada")
    yield* second.cache.get("ada")
    second.rows.set("ada", { name: "Lady Ada" })
    first.rows.set("ada", { name: "Lady Ada" })
    yield* first.cache.invalidate("ada")
    yield* settle
    expect(yield* second.cache.get("ada")).toEqual(Option.some({ name: "Lady Ada" }))
    expect(yield* first.cache.get("ada")).toEqual(Option.some({ name: "Lady Ada" }))
  }).pipe(Effect.provide(services)))

it("a lookup begun before an invalidation does not put its old value back", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const slow = yield* counted({
      lookup: () => Effect.as(Deferred.await(gate), Option.some({ name: "Old" }))
    })
    const other = yield* counted()
    const reader = yield* Effect.fork(slow.cache.get("ada"))
    yield* settle
    yield* other.cache.invalidate("ada")
    yield* Deferred.succeed(gate, undefined)
    expect(yield* Fiber.join(reader)).toEqual(Option.some({ name: "Old" }))
    expect(yield* other.cache.get("ada")).toEqual(Option.some({ name: "Ada" }))
    yield* settle
    expect(yield* slow.cache.get("ada")).toEqual(Option.some({ name: "Ada" }))
  }).pipe(Effect.provide(services)))

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
