import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as StoreLayer from "../../layers/Store.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Store } from "../../src/store/Store.ts"
import { it } from "../kit/effect.ts"
import * as Redis from "../kit/Redis.ts"

const backend = (settings: Layer.Layer<Settings.Settings>) =>
  Effect.scoped(
    Effect.provide(
      Effect.map(Store, (store) => store.backend),
      Layer.provide(StoreLayer.layer, settings)
    )
  )

it.live("the store is in memory unless the settings name a Redis", () =>
  Effect.gen(function* () {
    expect(yield* backend(Settings.layerTest())).toBe("memory")
    expect(yield* backend(Redis.layerSettings)).toBe("redis")
  })
)
