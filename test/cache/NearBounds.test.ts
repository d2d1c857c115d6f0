import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Cache from "../../src/cache/Cache.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

it("near values are bounded by their size too, and the oldest unused go", () =>
  Effect.gen(function* () {
    const near = { entriesMax: 100, bytesMax: 1_000, ttl: "1 minute" } as const
    const cache = yield* Cache.make({
      name: "sized",
      key: (id: string) => id,
      schema: Schema.Struct({ name: Schema.String, bio: Schema.optional(Schema.String) }),
      ttl: "30 minutes",
      near
    })
    const profile = { name: "Ada", bio: "x".repeat(200) }
    for (let n = 0; n < 10; n++) yield* cache.set(`id${n}`, profile)
    const { evictions, nearEntries } = yield* cache.stats
    expect([evictions, nearEntries]).toEqual([6, 4])
    yield* cache.set("large", { name: "x".repeat(1_001) })
    expect((yield* cache.stats).nearEntries).toBe(4)
    expect(Option.isSome(yield* cache.get("large"))).toBe(true)
    yield* cache.invalidate(...Array.from({ length: 10 }, (_, n) => `id${n}`))
    for (let n = 0; n < 3; n++) yield* cache.set(`again${n}`, profile)
    expect((yield* cache.stats).nearEntries).toBe(3)
  }).pipe(Effect.provide(Layer.mergeAll(StoreMemory.layer, Settings.layerTest()))))
