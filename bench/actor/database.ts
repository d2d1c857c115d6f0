import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as DatabaseLayer from "../../layers/Database.ts"
import * as Settings from "../../src/config/Settings.ts"

/** SqlClient on that server, migrated. */
export const layer = (url: string) =>
  Layer.scopedContext(
    Effect.flatMap(Settings.Settings, ({ database }) =>
      DatabaseLayer.connect({ url: Redacted.make(url) }, database)
    ).pipe(Effect.provide(Settings.layerTest()))
  ).pipe(Layer.orDie)
