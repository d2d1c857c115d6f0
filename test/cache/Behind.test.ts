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
import { behindMax } from "../../src/cache/Options.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

const services = Layer.mergeAll(StoreMemory.layer, Settings.layerTest(), Logger.minimumLogLevel(LogLevel.None))

const options = {
  name: "profile",
  key: (id: string) => id,
  schema: Schema.Struct({ name: Schema.String }),
  ttl: "30 minutes",
  near: { entriesMax: 10, ttl: "30 minutes" }
} as const

/** A cache over `rows`, to which it writes behind once `gate` is open. */
const gated = Effect.gen(function* () {
  const rows = new Map<string, string>()
  const gate = yield* Deferred.make<void>()
  const cache = yield* Cache.make({
    ...options,
    lookup: (id) => Effect.sync(() => Option.map(Option.fromNullable(rows.get(id)), (name) => ({ name }))),
    writeMany: (entries) => {
      for (const [id, { name }] of entries) rows.set(id, name)
      return Deferred.await(gate)
    }
  })
  /** As another process would read it. */
  const fromStore = (id: string) => Effect.flatMap(Cache.make(options), (other) => other.get(id))
  return { cache, fromStore, gate, rows }
})

it("a value set through while an older one is on its way stays in the store", () =>
  Effect.gen(function* () {
    const { cache, fromStore, gate } = yield* gated
    yield* cache.setBehind("ada", { name: "old" })
    yield* TestClock.adjust("100 millis")
    yield* cache.set("ada", { name: "new" })
    yield* Deferred.succeed(gate, undefined)
    yield* TestClock.adjust("1 second")
    expect(yield* fromStore("ada")).toEqual(Option.some({ name: "new" }))
  }).pipe(Effect.provide(services)))

it("a key invalidated while its value is on its way is not put into the store by it", () =>
  Effect.gen(function* () {
    const { cache, fromStore, gate, rows } = yield* gated
    yield* cache.setBehind("ada", { name: "old" })
    yield* TestClock.adjust("100 millis")
    rows.set("ada", "new")
    yield* cache.invalidate("ada")
    yield* Deferred.succeed(gate, undefined)
    yield* TestClock.adjust("1 second")
    expect(yield* fromStore("ada")).toEqual(Option.none())
    expect(yield* cache.get("ada")).toEqual(Option.some({ name: "new" }))
  }).pipe(Effect.provide(services)))

it("what another process looked up while a value was on its way is forgotten when it has arrived", () =>
  Effect.gen(function* () {
    const rows = new Map([["ada", "first"]])
    const lookup = (id: string) => Effect.sync(() => Option.some({ name: rows.get(id)! }))
    const gate = yield* Deferred.make<void>()
    const cache = yield* Cache.make({
      ...options,
      lookup,
      writeMany: () => Effect.andThen(Deferred.await(gate), () => rows.set("ada", "behind"))
    })
    yield* cache.setBehind("ada", { name: "behind" })
    yield* TestClock.adjust("100 millis")
    yield* cache.invalidate("ada")
    const { near: _, ...far } = options
    const other = yield* Cache.make({ ...far, lookup })
    expect(yield* other.get("ada")).toEqual(Option.some({ name: "first" }))
    yield* Deferred.succeed(gate, undefined)
    yield* TestClock.adjust("1 second")
    for (const one of [cache, other]) expect(yield* one.get("ada")).toEqual(Option.some({ name: "behind" }))
  }).pipe(Effect.provide(services)))

it("a key invalidated while its value was on its way may be set again", () =>
  Effect.gen(function* () {
    const { cache, fromStore, gate } = yield* gated
    yield* cache.setBehind("ada", { name: "old" })
    yield* TestClock.adjust("100 millis")
    yield* cache.invalidate("ada")
    yield* Deferred.succeed(gate, undefined)
    yield* TestClock.adjust("1 second")
    yield* cache.set("ada", { name: "new" })
    yield* cache.setBehind("bob", { name: "Bob" })
    yield* TestClock.adjust("1 second")
    expect(yield* fromStore("ada")).toEqual(Option.some({ name: "new" }))
  }).pipe(Effect.provide(services)))

it("a value that was given up is not served", () =>
  Effect.gen(function* () {
    const cache = yield* Cache.make({
      ...options,
      lookup: () => Effect.succeed(Option.some({ name: "stays" })),
      writeMany: () => Effect.fail("never")
    })
    yield* cache.setBehind("ada", { name: "lost" })
    expect(yield* cache.get("ada")).toEqual(Option.some({ name: "lost" }))
    yield* TestClock.adjust("1 minute")
    expect(yield* cache.get("ada")).toEqual(Option.some({ name: "stays" }))
  }).pipe(Effect.provide(services)))

for (const [what, name, mistaken] of [
  ["a write that throws", "bad", true],
  ["a value that its schema refuses", 7 as unknown as string, false]
] as const)
  it(`${what} is given up and counted, and what comes after it is written`, () =>
    Effect.gen(function* () {
      const written: Array<string> = []
      const cache = yield* Cache.make({
        ...options,
        writeMany: (entries) => {
          if (mistaken && entries.some(([id]) => id === "bad")) throw new Error("a mistake")
          return Effect.sync(() => void written.push(...entries.map(([id]) => id)))
        }
      })
      yield* cache.setBehind("bad", { name })
      yield* TestClock.adjust("1 second")
      yield* cache.setBehind("ada", { name: "Ada" })
      yield* TestClock.adjust("1 second")
      expect(written).toContain("ada")
      expect((yield* cache.stats).lost).toBe(1)
      const other = yield* Cache.make(options)
      expect(yield* other.get("ada")).toEqual(Option.some({ name: "Ada" }))
    }).pipe(Effect.provide(services)))

it("beyond the bound of what waits, a caller writes all of it at once", () =>
  Effect.gen(function* () {
    const written: Array<ReadonlyArray<string>> = []
    const cache = yield* Cache.make({
      ...options,
      writeMany: (entries) => Effect.sync(() => void written.push(entries.map(([id]) => id)))
    })
    const ids = Array.from({ length: behindMax }, (_, n) => String(n))
    for (const id of ids) yield* cache.setBehind(id, { name: "waits" })
    yield* cache.setBehind("0", { name: "waits already" })
    expect(written).toEqual([])
    yield* cache.setBehind("more", { name: "does not" })
    expect(written).toEqual([[...ids, "more"]])
  }).pipe(Effect.provide(services)))

it("a value set through while a caller beyond the bound writes an older one stays in the store", () =>
  Effect.gen(function* () {
    const { cache, fromStore, gate } = yield* gated
    for (let n = 0; n < behindMax; n++) yield* cache.setBehind(String(n), { name: "waits" })
    const writing = yield* Effect.fork(cache.setBehind("ada", { name: "old" }))
    yield* TestClock.adjust("100 millis")
    yield* cache.set("ada", { name: "new" })
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(writing)
    expect(yield* fromStore("ada")).toEqual(Option.some({ name: "new" }))
  }).pipe(Effect.provide(services)))

it("a caller beyond the bound does not overtake the batch that is being written", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const written: Array<string | undefined> = []
    let batches = 0
    const cache = yield* Cache.make({
      ...options,
      writeMany: (entries) => {
        const ada = entries.find(([id]) => id === "ada")
        return Effect.andThen(batches++ === 0 ? Deferred.await(gate) : Effect.void, () => written.push(ada?.[1].name))
      }
    })
    yield* cache.setBehind("ada", { name: "old" })
    yield* TestClock.adjust("100 millis")
    for (let n = 1; n < behindMax; n++) yield* cache.setBehind(String(n), { name: "waits" })
    yield* cache.setBehind("ada", { name: "new" })
    const writing = yield* Effect.fork(cache.setBehind("more", { name: "waits" }))
    yield* TestClock.adjust("1 millis")
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(writing)
    expect(written).toEqual(["old", "new"])
  }).pipe(Effect.provide(services)))
