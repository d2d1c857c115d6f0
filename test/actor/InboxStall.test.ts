import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Inbox from "../../src/actor/Inbox.ts"
import * as States from "../../src/actor/States.ts"
import * as Supervised from "../../src/actor/Supervised.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import { until } from "./nodes.ts"

const Careless = Actor.make("Careless", {
  protocol: [Rpc.make("Hang"), Rpc.make("Add", { success: Schema.Int }), Rpc.make("Count", { success: Schema.Int })],
  state: { schema: Schema.Struct({ n: Schema.Int }), initial: { n: 0 } },
  askTimeout: Number.POSITIVE_INFINITY
})

const layer = Careless.toLayer(({ state }) =>
  Effect.succeed({
    Hang: () => Effect.never,
    Add: () => Effect.map(Effect.orDie(state.update(({ n }) => ({ n: n + 1 }))), ({ n }) => n),
    Count: () => Effect.sync(() => state.current.n)
  })
).pipe(
  Layer.provideMerge(Inbox.layerWith({ stalledAfter: "300 millis" })),
  Layer.provideMerge(Layer.mergeAll(ActorSystem.layerTest, States.layerSql)),
  Layer.provideMerge(Postgres.layerDatabase),
  Layer.provideMerge(Supervised.Registry.layer),
  Layer.provide(Logger.remove(Logger.defaultLogger))
)

it.live("a handler that never ends stops the durable messages of the others for a moment only", () =>
  Effect.gen(function* () {
    const inbox = yield* Inbox.of(Careless)
    const client = yield* Careless.client
    yield* inbox.tell("hanging", "1").Hang()
    yield* inbox.tell("other", "1").Add()
    yield* until(client.ask("other").Count(), (n) => n === 1)
    const { report } = yield* Supervised.Registry
    const consumer = (yield* report).find(({ name }) => name === "actor inbox")
    expect(consumer?.lastFailure?.cause).toContain("Durable messages of Careless are not handled")
    const stalls = yield* Metric.value(Metrics.series(Metrics.actorInboxStalls, "Careless"))
    expect(stalls.count).toBeGreaterThanOrEqual(1)
  }).pipe(Effect.provide(layer))
)
