import { expect } from "bun:test"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Cache from "../../src/cache/Cache.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

const services = Layer.mergeAll(StoreMemory.layer, Settings.layerTest(), Logger.minimumLogLevel(LogLevel.None))

const options = {
  name: "profile",
  key: (id: string) => id,
  schema: Schema.Struct({ name: Schema.String }),
  ttl: "30 minutes"
} as const

const settle = Effect.repeatN(Effect.yieldNow(), 20)

/** A cache whose lookups count. */
const counted = Effect.gen(function* () {
  const asked: Array<string> = []
  const cache = yield* Cache.make({
    ...options,
    lookup: (id) => Effect.sync(() => (asked.push(id), Option.some({ name: id })))
  })
  return { asked, cache }
})

for (const [what, put] of [
  ["a text that is no envelope", (store: typeof Store.Service) => store.set("cache:profile:ada", "hello")],
  ["an empty text", (store: typeof Store.Service) => store.set("cache:profile:ada", "")],
  ["another kind of value", (store: typeof Store.Service) => store.setAdd("cache:profile:ada", "hello")],
  [
    "an envelope whose tags are no tags",
    (store: typeof Store.Service) =>
      Effect.gen(function* () {
        const { cache } = yield* counted
        yield* cache.set("ada", { name: "Old" })
        const text = Option.getOrThrow(yield* store.get("cache:profile:ada"))
        yield* store.set("cache:profile:ada", text.replace(";", ".%zz;"))
      })
  ]
] as const)
  it(`where the store has ${what}, the value is looked up at once and kept`, () =>
    Effect.gen(function* () {
      yield* put(yield* Store)
      const { asked, cache } = yield* counted
      for (let n = 0; n < 2; n++) {
        expect(yield* cache.get("ada")).toEqual(Option.some({ name: "ada" }))
        yield* settle
      }
      expect(asked).toEqual(["ada"])
    }).pipe(Effect.provide(services)))

it("a lookup that throws is a defect of its own callers only, and nobody waits for it", () =>
  Effect.gen(function* () {
    const cache = yield* Cache.make({
      ...options,
      lookup: (id) => {
        if (id === "bad") throw new Error("a mistake")
        return Effect.succeed(Option.some({ name: id }))
      }
    })
    for (let n = 0; n < 2; n++) {
      const all = yield* Effect.all([Effect.exit(cache.get("bad")), Effect.exit(cache.get("ada"))], {
        concurrency: "unbounded"
      })
      expect(all.map(Exit.isSuccess)).toEqual([false, true])
      yield* settle
    }
    expect((yield* cache.stats).storeHits).toBe(1)
  }).pipe(Effect.provide(services)))

it("a value that its schema refuses is answered and not kept, and nobody waits for it", () =>
  Effect.gen(function* () {
    let lookups = 0
    const cache = yield* Cache.make({
      ...options,
      lookup: (id) =>
        Effect.sync(() => (lookups++, Option.some({ name: id === "bad" ? (7 as unknown as string) : id })))
    })
    for (let n = 0; n < 2; n++) {
      const [bad, ada] = yield* Effect.all([cache.get("bad"), cache.get("ada")], { concurrency: "unbounded" })
      expect(bad).toEqual(Option.some({ name: 7 as unknown as string }))
      expect(ada).toEqual(Option.some({ name: "ada" }))
      yield* settle
    }
    expect(lookups).toBe(3)
  }).pipe(Effect.provide(services)))

it("undefined is a value like others where the schema says so", () =>
  Effect.gen(function* () {
    let lookups = 0
    const cache = yield* Cache.make({
      ...options,
      schema: Schema.UndefinedOr(Schema.String),
      lookup: () => Effect.sync(() => (lookups++, Option.some(undefined)))
    })
    for (let n = 0; n < 2; n++) {
      expect(yield* cache.get("nothing")).toEqual(Option.some(undefined))
      yield* settle
    }
    expect(lookups).toBe(1)
  }).pipe(Effect.provide(services)))

it("what is remembered without end is remembered", () =>
  Effect.gen(function* () {
    let lookups = 0
    const cache = yield* Cache.make({
      ...options,
      ttl: Duration.infinity,
      grace: Duration.infinity,
      negativeTtl: Duration.infinity,
      lookup: (id) => Effect.sync(() => (lookups++, id === "ada" ? Option.some({ name: id }) : Option.none()))
    })
    for (let n = 0; n < 2; n++) {
      for (const id of ["ada", "nobody"]) yield* cache.get(id)
      yield* settle
      yield* TestClock.adjust("365 days")
    }
    expect(lookups).toBe(2)
  }).pipe(Effect.provide(services)))

it("a cache whose name begins as another's has keys of its own", () =>
  Effect.gen(function* () {
    const named = (name: string) =>
      Cache.make({ ...options, name, lookup: () => Effect.succeed(Option.some({ name })) })
    const [one, other] = [yield* named("user"), yield* named("user:search")]
    expect(yield* one.get("search:ada")).toEqual(Option.some({ name: "user" }))
    yield* settle
    expect(yield* other.get("ada")).toEqual(Option.some({ name: "user:search" }))
  }).pipe(Effect.provide(services)))

it("a value that another version wrote is read where it fits the schema, and looked up again where it does not", () =>
  Effect.gen(function* () {
    const before = yield* Cache.make({
      ...options,
      schema: Schema.Struct({ name: Schema.Union(Schema.String, Schema.Number) })
    })
    yield* before.set("ada", { name: "Ada" })
    yield* before.set("bob", { name: 7 })
    const { asked, cache } = yield* counted
    expect(yield* cache.get("ada")).toEqual(Option.some({ name: "Ada" }))
    expect(yield* cache.get("bob")).toEqual(Option.some({ name: "bob" }))
    expect(asked).toEqual(["bob"])
  }).pipe(Effect.provide(services)))
