import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ActorSystem from "../src/actor/ActorSystem.ts"
import { Settings } from "../src/config/Settings.ts"

/**
 * The actors of this process: alone, or with `CLUSTER=on` together with those of the other nodes on the same database.
 * It serves the actors of these shard groups there. The cluster is loaded only then: it costs memory.
 */
export const layer = (
  groups: ReadonlyArray<string>
): Layer.Layer<ActorSystem.ActorSystem, never, SqlClient.SqlClient | Settings> =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const { cluster } = yield* Settings
      if (!cluster.enabled) return ActorSystem.layerLocal
      const ClusterNode = yield* Effect.promise(() => import("./actors/ClusterNode.ts"))
      return ClusterNode.layer({ ...cluster, groups })
    })
  )
