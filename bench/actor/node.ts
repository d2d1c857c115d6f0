/**
 * Run by the benches in a process of its own: one node of a cluster. `node.ts URL PORT KIND`, where KIND is `ours` or
 * `cluster` (raw @effect/cluster on the same setup). Says `ready` when it serves.
 */
import * as MessageStorage from "@effect/cluster/MessageStorage"
import * as RunnerAddress from "@effect/cluster/RunnerAddress"
import * as SqlRunnerStorage from "@effect/cluster/SqlRunnerStorage"
import * as Entity from "@effect/cluster/Entity"
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import * as BunClusterSocket from "@effect/platform-bun/BunClusterSocket"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as ClusterNode from "../../layers/actors/ClusterNode.ts"
import * as Actor from "../../src/actor/Actor.ts"
import * as Inbox from "../../src/actor/Inbox.ts"
import * as States from "../../src/actor/States.ts"
import * as Database from "./database.ts"

const add = Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int })

/** Volatile: what remote asks are measured with. */
export const Adder = Actor.make("Adder", { protocol: [add], idle: "10 minutes" })

const adders = Adder.toLayer(() =>
  Effect.sync(() => {
    let n = 0
    return { Add: ({ amount }: { readonly amount: number }) => Effect.sync(() => (n += amount)) }
  })
)

/** Says which node has it. */
export const Where = Actor.make("Where", {
  protocol: [Rpc.make("Node", { success: Schema.Int }).annotate(Actor.Idempotent, true)]
})

/** Counts durable messages. */
export const Tally = Actor.make("Tally", {
  protocol: [add],
  state: { schema: Schema.Struct({ n: Schema.Int }), initial: { n: 0 } }
})

const tallies = Tally.toLayer(({ state }) =>
  Effect.succeed({
    Add: ({ amount }: { readonly amount: number }) =>
      Effect.map(Effect.orDie(state.update(({ n }) => ({ n: n + amount }))), ({ n }) => n)
  })
)

const quiet = Logger.remove(Logger.defaultLogger)

const node = (url: string, port: number, groups: ReadonlyArray<string>) =>
  Inbox.layer.pipe(
    Layer.provideMerge(ClusterNode.layer({ host: "127.0.0.1", port, groups })),
    Layer.provideMerge(States.layerSql),
    Layer.provide(Database.layer(url)),
    Layer.provide(quiet)
  )

/** A node that serves nothing: a client of the others. */
export const client = (url: string, port: number) => node(url, port, [])

const server = (url: string, port: number) => {
  const wheres = Where.toLayer(() => Effect.succeed({ Node: () => Effect.succeed(port) }))
  return Layer.mergeAll(adders, wheres, tallies).pipe(Layer.provideMerge(node(url, port, ["default"])))
}

export const AdderEntity = Entity.make("Adder", [add])

/** Raw @effect/cluster with settings like ours. */
const rawConfig = (port: number) => ({
  runnerAddress: Option.some(RunnerAddress.make("127.0.0.1", port)),
  runnerListenAddress: Option.some(RunnerAddress.make("127.0.0.1", port)),
  shardLockExpiration: "3 seconds" as const,
  shardLockRefreshInterval: "1 second" as const,
  shardLockDisableAdvisory: true,
  refreshAssignmentsInterval: "500 millis" as const,
  simulateRemoteSerialization: false
})

export const rawClient = (url: string, port: number) =>
  BunClusterSocket.layer({ storage: "byo", clientOnly: true, shardingConfig: rawConfig(port) }).pipe(
    Layer.provide(Layer.mergeAll(MessageStorage.layerNoop, rawRunners(port))),
    Layer.provide(Database.layer(url)),
    Layer.provide(quiet)
  )

const rawRunners = (port: number) =>
  SqlRunnerStorage.layer.pipe(Layer.provide(ShardingConfig.layer({ ...ShardingConfig.defaults, ...rawConfig(port) })))

const rawServer = (url: string, port: number) =>
  AdderEntity.toLayer(
    Effect.sync(() => {
      let n = 0
      return { Add: ({ payload }) => Effect.sync(() => (n += payload.amount)) }
    }),
    { maxIdleTime: "10 minutes" }
  ).pipe(
    Layer.provideMerge(BunClusterSocket.layer({ storage: "byo", shardingConfig: rawConfig(port) })),
    Layer.provide(Layer.mergeAll(MessageStorage.layerNoop, rawRunners(port))),
    Layer.provide(Database.layer(url)),
    Layer.provide(quiet)
  )

if (import.meta.main) {
  const [url = "", port = "", kind = ""] = process.argv.slice(2)
  const layer = kind === "cluster" ? rawServer(url, Number(port)) : server(url, Number(port))
  const { runMain } = await import("@effect/platform-bun/BunRuntime")
  runMain(
    Effect.scoped(
      Effect.zipRight(
        Layer.build(Layer.orDie(layer as Layer.Layer<unknown>)),
        Effect.zipRight(
          Effect.sync(() => console.log("ready")),
          Effect.never
        )
      )
    ),
    { disableErrorReporting: true }
  )
}
