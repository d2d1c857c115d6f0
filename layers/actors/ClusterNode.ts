import * as MessageStorage from "@effect/cluster/MessageStorage"
import * as RunnerAddress from "@effect/cluster/RunnerAddress"
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import * as SqlRunnerStorage from "@effect/cluster/SqlRunnerStorage"
import * as BunClusterSocket from "@effect/platform-bun/BunClusterSocket"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Cluster from "../../src/actor/Cluster.ts"

/** Where the other nodes reach this one. */
export interface Node {
  readonly host: string
  readonly port: number
}

/**
 * Without a sign of life for `lockExpiration` a node has lost its shards, and stops acting before that. Rows serve as
 * locks: advisory locks of two programs in one database would collide, and a pooler in between would lose them.
 */
const sharding = ({ host, port }: Node) => ({
  runnerAddress: Option.some(RunnerAddress.make(host, port)),
  runnerListenAddress: Option.some(RunnerAddress.make(host, port)),
  shardsPerGroup: Cluster.shardsPerGroup,
  shardLockExpiration: "3 seconds" as const,
  shardLockRefreshInterval: "1 second" as const,
  shardLockDisableAdvisory: true,
  refreshAssignmentsInterval: "500 millis" as const,
  runnerHealthCheckInterval: "1 second" as const,
  sendRetryInterval: "50 millis" as const,
  entityTerminationTimeout: "1 second" as const,
  simulateRemoteSerialization: false
})

/** One node of a cluster whose nodes share a database. Its sockets are `node:net`'s, which all runtimes have. */
export const layer = (at: Node): Layer.Layer<ActorSystem.ActorSystem, never, SqlClient.SqlClient> =>
  Cluster.layer().pipe(
    Layer.provide(BunClusterSocket.layer({ storage: "byo", shardingConfig: sharding(at) })),
    Layer.provide(Layer.mergeAll(MessageStorage.layerNoop, runners(at))),
    Layer.orDie
  )

const runners = (at: Node) => SqlRunnerStorage.layer.pipe(Layer.provide(ShardingConfig.layer(sharding(at))))
