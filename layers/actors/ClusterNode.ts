import * as MessageStorage from "@effect/cluster/MessageStorage"
import * as RunnerAddress from "@effect/cluster/RunnerAddress"
import * as RunnerHealth from "@effect/cluster/RunnerHealth"
import * as Runners from "@effect/cluster/Runners"
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import { layerClientProtocol, layerSocketServer } from "@effect/platform-bun/BunClusterSocket"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Cluster from "../../src/actor/Cluster.ts"
import * as Locks from "../../src/actor/cluster/Locks.ts"
import { lockExpiry } from "../../src/actor/cluster/Shards.ts"
import { groupDefault } from "../../src/actor/Definition.ts"
import { shardsPerGroup } from "../../src/actor/Shard.ts"

/** Where the other nodes reach this one, and the shard groups it serves: none makes it a mere client. */
export interface Node {
  readonly host: string
  readonly port: number
  readonly groups?: ReadonlyArray<string>
}

/**
 * Without a renewal for three seconds a node has lost its shards, and stops acting before that. Nobody is asked whether
 * a node is healthy: the one that renews is.
 */
const sharding = ({ groups = [groupDefault], host, port }: Node) =>
  ShardingConfig.layer({
    runnerAddress: Option.some(RunnerAddress.make(host, port)),
    runnerListenAddress: Option.some(RunnerAddress.make(host, port)),
    availableShardGroups: groups,
    assignedShardGroups: groups,
    shardsPerGroup,
    shardLockExpiration: lockExpiry,
    shardLockRefreshInterval: "1 second",
    shardLockDisableAdvisory: true,
    refreshAssignmentsInterval: "250 millis",
    entityMessagePollInterval: "500 millis"
  })

/** One node of a cluster whose nodes share a database. Its sockets are `node:net`'s, which all runtimes have. */
export const layer = (
  at: Node,
  options: Partial<ActorSystem.Options> = {}
): Layer.Layer<ActorSystem.ActorSystem, never, SqlClient.SqlClient> =>
  Cluster.layer(options).pipe(
    Layer.provide(
      Layer.mergeAll(
        Runners.layerNoop,
        RunnerHealth.layerNoop,
        RpcServer.layerProtocolSocketServer,
        layerClientProtocol
      )
    ),
    Layer.provide(Layer.mergeAll(MessageStorage.layerNoop, layerSocketServer, RpcSerialization.layerMsgPack)),
    Layer.provide(Locks.layer({ address: `${at.host}:${at.port}`, groups: at.groups ?? [groupDefault] })),
    Layer.provide(sharding(at)),
    Layer.orDie
  )
