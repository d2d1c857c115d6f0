import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Cache from "../../src/cache/Cache.ts"
import { refreshesMax } from "../../src/cache/Options.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

const settle = Effect.repeatN(Effect.yieldNow(), 20)

it("beyond the bound of refreshes ahead of time no other begins, and the old values are served", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    let refreshes = 0
    const cache = yield* Cache.make({
      name: "row",
      key: (id: string) => id,
      schema: Schema.String,
      ttl: "10 minutes",
      refreshAt: 0.5,
      near: { entriesMax: 1_000, ttl: "10 minutes" },
      lookup: () =>
        Effect.zipRight(
          Effect.sync(() => refreshes++),
          Effect.as(Deferred.await(gate), Option.some("new"))
        )
    })
    const keys = Array.from({ length: refreshesMax + 10 }, (_, n) => String(n))
    for (const key of keys) yield* cache.set(key, "old")
    yield* TestClock.adjust("6 minutes")
    expect(yield* Effect.forEach(keys, cache.get)).toEqual(keys.map(() => Option.some("old")))
    yield* settle
    expect(refreshes).toBe(refreshesMax)
  }).pipe(Effect.provide(Layer.merge(StoreMemory.layer, Settings.layerTest()))))
