import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Cache from "../../src/cache/Cache.ts"
import { batchInterval, owedMax } from "../../src/cache/Options.ts"
import * as Settings from "../../src/config/Settings.ts"
import { StoreUnavailable } from "../../src/errors.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

const away = new StoreUnavailable({ operation: "test", cause: new Error("away") })

const settle = Effect.repeatN(Effect.yieldNow(), 20)

/** A cache of rows that all say "old" at first, over a store that is `changed` for it. */
const cacheOver = (changed: (store: typeof Store.Service) => Partial<typeof Store.Service>) =>
  Effect.gen(function* () {
    const server = StoreMemory.server()
    const rows = new Map<string, string>()
    const process = (store: typeof Store.Service) =>
      Cache.make({
        name: "row",
        key: (id: string) => id,
        schema: Schema.String,
        ttl: "30 minutes",
        near: { entriesMax: 10, ttl: "30 minutes" },
        lookup: (id) => Effect.sync(() => Option.some(rows.get(id) ?? "old"))
      }).pipe(Effect.provide(Layer.merge(Layer.succeed(Store, store), Settings.layerTest())))
    const store = StoreMemory.connect(server)
    const cache = yield* process({ ...store, ...changed(store) })
    const other = process(StoreMemory.connect(server))
    /** As a process that has nothing near reads it. */
    const fromStore = (id: string) => Effect.flatMap(other, (cache) => cache.get(id))
    return { cache, rows, other, fromStore }
  })

for (const [what, change] of [
  ["an invalidation", (cache: Cache.Cache<string, string>) => cache.invalidate("ada")],
  ["a value set through", (cache: Cache.Cache<string, string>) => cache.set("ada", "new")]
] as const)
  it(`${what} reaches the store though its caller is interrupted meanwhile`, () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      let isAway = true
      const refused = <A>(effect: Effect.Effect<A, StoreUnavailable>) =>
        Effect.suspend(() => (isAway ? Effect.zipRight(Deferred.await(gate), away) : effect))
      const { cache, fromStore, rows } = yield* cacheOver((store) => ({
        remove: (...keys) => refused(store.remove(...keys)),
        setMany: (entries, ttl) => refused(store.setMany(entries, ttl))
      }))
      yield* cache.get("ada")
      yield* settle
      rows.set("ada", "new")
      const changing = yield* Effect.fork(change(cache))
      yield* settle
      yield* Effect.fork(Fiber.interrupt(changing))
      yield* settle
      isAway = false
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust(batchInterval)
      expect(yield* fromStore("ada")).toEqual(Option.some("new"))
    }))

it("a read that takes the old value from the store during an invalidation does not keep it", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const { cache, rows } = yield* cacheOver((store) => ({
      remove: (...keys) => Effect.zipRight(Deferred.await(gate), store.remove(...keys))
    }))
    yield* cache.get("ada")
    yield* settle
    rows.set("ada", "new")
    const invalidating = yield* Effect.fork(cache.invalidate("ada"))
    yield* settle
    expect(yield* cache.get("ada")).toEqual(Option.some("old"))
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(invalidating)
    expect(yield* cache.get("ada")).toEqual(Option.some("new"))
  }))

it("of several values that are read while one changes elsewhere, none that is too old is kept", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const { cache, other } = yield* cacheOver((store) => ({
      getStored: (keys) => Effect.zipLeft(store.getStored(keys), Deferred.await(gate))
    }))
    const there = yield* other
    yield* there.set("ada", "old")
    yield* there.set("bob", "old")
    const reading = yield* Effect.fork(cache.getMany(["ada", "bob"]))
    yield* settle
    yield* there.set("ada", "new")
    yield* Deferred.succeed(gate, undefined)
    expect((yield* Fiber.join(reading)).get("ada")).toBe("old")
    expect(yield* cache.get("ada")).toEqual(Option.some("new"))
  }))

it("leases that were not taken back displace no invalidation that the store is owed", () =>
  Effect.gen(function* () {
    let isReadonly = false
    const unless = <A>(effect: Effect.Effect<A, StoreUnavailable>) => Effect.suspend(() => (isReadonly ? away : effect))
    const { cache, fromStore, rows } = yield* cacheOver((store) => ({
      remove: (...keys) => unless(store.remove(...keys)),
      run: (script, keys, args) => unless(store.run(script, keys, args))
    }))
    yield* cache.get("ada")
    yield* settle
    isReadonly = true
    rows.set("ada", "new")
    yield* cache.invalidate("ada")
    yield* cache.getMany(Array.from({ length: owedMax }, (_, n) => String(n)))
    expect((yield* cache.stats).lost).toBe(0)
    isReadonly = false
    yield* TestClock.adjust(batchInterval)
    expect(yield* fromStore("ada")).toEqual(Option.some("new"))
  }))
