import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Cache from "../../src/cache/Cache.ts"
import { admitEvery, Decoded } from "../../src/cache/Decoded.ts"
import type { Envelope } from "../../src/cache/Envelope.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

const cache = (more: { readonly decodedLengthMax?: number } = {}) =>
  Cache.make({
    name: "person",
    key: (id: string) => id,
    schema: Schema.Struct({ name: Schema.String }),
    ttl: "1 hour",
    ...more
  })

/** Two processes on one store. */
const two = (more: { readonly decodedLengthMax?: number } = {}) => {
  const server = StoreMemory.server()
  const process = Layer.merge(
    Layer.sync(Store, () => StoreMemory.connect(server)),
    Settings.layerTest()
  )
  return Effect.all([
    Effect.provide(cache(more), Layer.fresh(process)),
    Effect.provide(cache(more), Layer.fresh(process))
  ])
}

it("without a near part a value is decoded once for as long as the store has the same text", () =>
  Effect.gen(function* () {
    const [here, there] = yield* two()
    yield* there.set("ada", { name: "Ada" })
    const first = Option.getOrThrow(yield* here.get("ada"))
    expect(Option.getOrThrow(yield* here.get("ada"))).toBe(first)
    expect((yield* here.getMany(["ada"])).get("ada")).toBe(first)
    expect((yield* here.stats).storeHits).toBe(3)
    yield* there.set("ada", { name: "Countess" })
    expect(yield* here.get("ada")).toEqual(Option.some({ name: "Countess" }))
    yield* there.invalidate("ada")
    expect(yield* here.get("ada")).toEqual(Option.none())
  }))

it("the same value written again is another text, and is decoded again", () =>
  Effect.gen(function* () {
    const [here, there] = yield* two()
    yield* there.set("ada", { name: "Ada" })
    const first = Option.getOrThrow(yield* here.get("ada"))
    yield* there.set("ada", { name: "Ada" })
    const second = Option.getOrThrow(yield* here.get("ada"))
    expect(second).toEqual(first)
    expect(second).not.toBe(first)
  }))

it("a cache may say that each read decodes", () =>
  Effect.gen(function* () {
    const [here] = yield* two({ decodedLengthMax: 0 })
    yield* here.set("ada", { name: "Ada" })
    const first = Option.getOrThrow(yield* here.get("ada"))
    expect(Option.getOrThrow(yield* here.get("ada"))).not.toBe(first)
  }))

it("texts are kept up to the bound: the oldest go, one that is larger than all is not kept, few newcomers find room", () => {
  const envelope: Envelope<number> = { value: Option.some(1), freshUntil: 1, bornAt: 1, tags: [] }
  const decoded = new Decoded<number>(100)
  const text = (n: number) => String(n).padStart(10, "0")
  const kept = (upTo: number) =>
    Array.from({ length: upTo }, (_, n) => n).filter((n) => decoded.get(`${n}`, text(n)) !== undefined)
  for (let n = 0; n < 10; n++) decoded.set(`${n}`, text(n), envelope)
  expect(kept(10)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  for (let n = 10; n < 10 + admitEvery; n++) decoded.set(`${n}`, text(n), envelope)
  expect(kept(10 + admitEvery)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 9 + admitEvery])
  decoded.set("large", "x".repeat(101), envelope)
  expect(decoded.get("large", "x".repeat(101))).toBeUndefined()
  expect(decoded.get("1", text(2))).toBeUndefined()
  // A known key with a new text takes its own place.
  decoded.set("1", text(1), envelope)
  expect(kept(10 + admitEvery)).toHaveLength(10)
  return Effect.void
})
