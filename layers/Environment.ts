import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Inbox from "../src/actor/Inbox.ts"
import * as MemoryPressure from "../src/actor/MemoryPressure.ts"
import * as Reminders from "../src/actor/Reminders.ts"
import * as Broadcast from "../src/broadcast/Broadcast.ts"
import * as Caches from "../src/cache/Caches.ts"
import * as Tags from "../src/cache/Tags.ts"
import * as QueryCache from "../src/database/QueryCache.ts"
import * as Cursor from "../src/graphql/Cursor.ts"
import * as RateLimiter from "../src/rate/RateLimiter.ts"
import * as Sessions from "../src/session/Sessions.ts"
import * as Sweeper from "../src/session/Sweeper.ts"
import { Store } from "../src/store/Store.ts"
import * as Actors from "./Actors.ts"
import * as StoreLayer from "./Store.ts"
import * as Telemetry from "./Telemetry.ts"

/** Fan-out within this process, or through Redis where the Store is there. */
const broadcast = Layer.unwrapEffect(
  Effect.map(Store, ({ backend }) => (backend === "redis" ? Broadcast.layerStore : Broadcast.layerLocal))
)

/**
 * What every program stands on beside its database, as the settings say: memory or Redis, and what is built on the two.
 * Built once for a process, however many programs run in it. In a cluster it serves the actors of these groups.
 */
export const layer = (groups: ReadonlyArray<string>) =>
  Layer.mergeAll(Telemetry.layerSessions, Sweeper.layer, Reminders.layer, Inbox.layer, MemoryPressure.layer).pipe(
    Layer.provideMerge(Layer.merge(Sessions.layer, QueryCache.layer)),
    Layer.provideMerge(
      Layer.mergeAll(
        RateLimiter.layer,
        broadcast,
        Tags.layer,
        Caches.layer,
        Cursor.layer,
        Telemetry.layer,
        Actors.layer(groups)
      )
    ),
    Layer.provideMerge(StoreLayer.layer)
  )
