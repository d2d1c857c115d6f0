import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Settings } from "../src/config/Settings.ts"
import type { StartupError } from "../src/config/StartupError.ts"
import type { Store } from "../src/store/Store.ts"
import * as StoreMemory from "../src/store/StoreMemory.ts"
import * as RedisStore from "./store/RedisStore.ts"

/** Redis when `Settings.redis` names one, otherwise this process's memory. */
export const layer: Layer.Layer<Store, StartupError, Settings> = Layer.unwrapEffect(
  Effect.map(Settings, ({ redis }) =>
    Option.match(redis, { onNone: () => StoreMemory.layer, onSome: (address) => RedisStore.layer(address) })
  )
)
