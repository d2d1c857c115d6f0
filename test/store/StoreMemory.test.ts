import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"
import { hearing } from "./hearing.ts"

it("a key is gone when its time to live ends, and a new value without one stays", () =>
  Effect.gen(function* () {
    const store = yield* StoreMemory.make()
    yield* store.set("a", "1", { ttl: "1 minute" })
    yield* store.set("b", "1", { ttl: "1 minute" })
    yield* store.set("b", "2")
    yield* store.hashSet("h", { a: "1" }, "1 minute")
    yield* store.hashSet("h", { b: "2" })
    yield* TestClock.adjust("59999 millis")
    expect(yield* store.get("a")).toEqual(Option.some("1"))
    yield* TestClock.adjust("1 millis")
    expect(yield* store.getMany(["a", "b"])).toEqual([null, "2"])
    expect(yield* store.hashGetAll("h")).toEqual({})
    expect(yield* store.set("a", "3", { onlyIfAbsent: true })).toBe(true)
  }))

it("at the bound of keys the one unused for longest goes", () =>
  Effect.gen(function* () {
    const store = yield* StoreMemory.make({ keysMax: 3, unitsMax: 1_000 })
    for (const key of ["a", "b", "c"]) yield* store.set(key, key)
    yield* store.get("a")
    yield* store.set("d", "d")
    expect(yield* store.getMany(["a", "b", "c", "d"])).toEqual(["a", null, "c", "d"])
  }))

it("at the bound of size enough keys go to make room, whatever their kind", () =>
  Effect.gen(function* () {
    const store = yield* StoreMemory.make({ keysMax: 1_000, unitsMax: 1_000 })
    yield* store.listPush("list", ["x".repeat(400)], 10)
    yield* store.set("text", "x".repeat(400))
    yield* store.set("more", "x".repeat(400))
    expect(yield* store.listRange("list", 0, -1)).toEqual([])
    expect(Option.isSome(yield* store.get("text"))).toBe(true)
  }))

it("expired keys are swept by the writes that follow", () =>
  Effect.gen(function* () {
    const store = yield* StoreMemory.make({ keysMax: 200, unitsMax: 1_000_000 })
    yield* store.set("kept", "1")
    for (let n = 0; n < 150; n++) yield* store.set(`short:${n}`, "1", { ttl: "1 second" })
    yield* TestClock.adjust("1 second")
    for (let n = 0; n < 190; n++) yield* store.set(`new:${n}`, "1")
    // Without the sweep the expired keys would have pushed out what is in use.
    expect(yield* store.get("kept")).toEqual(Option.some("1"))
  }))

it("publishing says how many listen", () =>
  Effect.gen(function* () {
    const store = yield* StoreMemory.make()
    expect(yield* store.publish("news", "x")).toBe(0)
    yield* Effect.scoped(
      Effect.gen(function* () {
        yield* Effect.all([hearing(store, "news"), hearing(store, "news")])
        expect(yield* store.publish("news", "x")).toBe(2)
      })
    )
    expect(yield* store.publish("news", "x")).toBe(0)
  }))
