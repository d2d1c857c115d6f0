import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import { ActorSystem } from "../../src/actor/ActorSystem.ts"
import * as Inbox from "../../src/actor/Inbox.ts"
import * as Reminders from "../../src/actor/Reminders.ts"
import { shardOf, shardsPerGroup } from "../../src/actor/Shard.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import { databaseAt, join, patiently, until } from "./nodes.ts"

const Where = Actor.make("Where", {
  protocol: [
    Rpc.make("Node", { success: Schema.String }).annotate(Actor.Idempotent, true),
    Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int }),
    Rpc.make("Nap", { payload: { millis: Schema.Int } })
  ],
  state: { schema: Schema.Struct({ n: Schema.Int }), initial: { n: 0 } },
  askTimeout: "8 seconds"
})

const serves = (name: string) =>
  Where.toLayer(({ state }) =>
    Effect.succeed({
      Node: () => Effect.succeed(name),
      Add: ({ amount }) => Effect.map(Effect.orDie(state.update(({ n }) => ({ n: n + amount }))), ({ n }) => n),
      Nap: ({ millis }) => Effect.sleep(millis)
    })
  )

const ids = Array.from({ length: 40 }, (_, i) => `id-${i}`)

const shared = Effect.map(Layer.build(Postgres.layerDatabase), (context) => Layer.succeedContext(context))

/** The names of the nodes that have the actors, once two have. */
const spread = (client: Effect.Effect.Success<typeof Where.client>) =>
  until(
    Effect.forEach(ids, (id) => patiently(client.ask(id).Node()), { concurrency: "unbounded" }),
    (names) => new Set(names).size === 2
  )

it.live("two nodes share the actors, both reach all of them, and one that leaves hands over without a loss", () =>
  Effect.gen(function* () {
    const database = yield* shared
    const a = yield* join(serves("a"), { database })
    const b = yield* join(serves("b"), { database })
    const onA = yield* Effect.provide(Where.client, a.context)
    const onB = yield* Effect.provide(Where.client, b.context)
    const nodes = yield* spread(onA)
    expect(yield* Effect.forEach(ids, (id) => onB.ask(id).Node(), { concurrency: 8 })).toEqual(nodes)

    const far = ids[nodes.indexOf("b")]!
    expect(yield* onA.ask(far).Add({ amount: 2 })).toBe(2)
    expect(yield* onB.ask(far).Add({ amount: 3 })).toBe(5)
    yield* onA.tell(far).Add({ amount: 1 })
    expect(yield* onB.ask(far).Add({ amount: 0 })).toBe(6)
    const placement = yield* (yield* Effect.provide(ActorSystem, a.context)).placement
    expect(placement.reduce((sum, { shards }) => sum + shards, 0)).toBe(shardsPerGroup)
    expect(new Set(placement.map(({ node }) => node))).toEqual(new Set([a.address, b.address]))

    // The one that leaves ends what it has begun; what waits behind it goes along with its actor.
    const waiting = yield* Effect.fork(
      Effect.all([onA.ask(far).Nap({ millis: 200 }), onA.ask(far).Add({ amount: 1 })], { concurrency: "unbounded" })
    )
    yield* Effect.sleep("50 millis")
    yield* b.leave
    expect(yield* Fiber.join(waiting)).toEqual([undefined, 7])
    expect(yield* onA.ask(far).Node()).toBe("a")
  })
)

it.live("durable messages and reminders are handled where the actor lives, once, wherever they come from", () =>
  Effect.gen(function* () {
    const database = yield* shared
    const a = yield* join(serves("a"), { database })
    const b = yield* join(serves("b"), { database })
    const sql = yield* Effect.provide(SqlClient.SqlClient, database)
    const onA = yield* Effect.provide(Where.client, a.context)
    const inboxOnA = yield* Effect.provide(Inbox.of(Where), a.context)
    const inboxOnB = yield* Effect.provide(Inbox.of(Where), b.context)
    const nodes = yield* spread(onA)
    const far = ids[nodes.indexOf("b")]!

    const same = [inboxOnA, inboxOnB, inboxOnA].map((inbox) => inbox.ask(far, "same").Add({ amount: 1 }))
    expect(yield* Effect.all(same, { concurrency: "unbounded" })).toEqual([1, 1, 1])
    yield* inboxOnA.tell(far, "told").Add({ amount: 10 })
    yield* until(onA.ask(far).Add({ amount: 0 }), (n) => n === 11)

    const reminders = yield* Effect.provide(Reminders.Reminders, a.context)
    yield* reminders.set(Where.definition, far, "soon", { after: 0 }, "Add", { amount: 100 })
    yield* until(onA.ask(far).Add({ amount: 0 }), (n) => n === 111)

    // What a node accepted and did not do before it was gone is done by the next one at once, whatever its lease says.
    yield* sql`
      insert into actor_messages (actor, id, key, tag, payload, shard, leased_until, accepted_at)
      values ('Where', ${far}, 'left behind', 'Add', '{"amount":1000}', ${shardOf(far)}, now() + interval '1 hour', now())`
    yield* b.leave
    yield* until(patiently(onA.ask(far).Add({ amount: 0 })), (n) => n === 1_111)
  })
)

it.live("a node serves its own groups and calls the others, and a message keeps its trace on the way", () =>
  Effect.gen(function* () {
    const Back = Actor.make("Back", {
      protocol: [
        Rpc.make("Node", { success: Schema.String }),
        Rpc.make("Trace", { success: Schema.Array(Schema.String) })
      ],
      group: "back"
    })
    const backs = (name: string) =>
      Back.toLayer(() =>
        Effect.succeed({
          Node: () => Effect.succeed(name),
          Trace: () =>
            Effect.map(Effect.orDie(Effect.currentSpan), ({ name: span, parent, traceId }) => [
              span,
              traceId,
              Option.getOrThrow(parent).spanId
            ])
        })
      )
    const database = yield* shared
    yield* join(Layer.merge(serves("back"), backs("back")), { database, groups: ["back"] })
    const front = yield* join(Layer.merge(serves("front"), backs("front")), { database, groups: ["default"] })
    const onFront = yield* Effect.provide(Back.client, front.context)
    const where = yield* Effect.provide(Where.client, front.context)
    expect(yield* patiently(onFront.ask("x").Node())).toBe("back")
    expect(yield* patiently(where.ask("x").Node())).toBe("front")

    const [sent, seen] = yield* Effect.withSpan(
      Effect.all([Effect.orDie(Effect.currentSpan), onFront.ask("x").Trace()]),
      "call"
    )
    expect(seen).toEqual(["Back/Trace", sent.traceId, sent.spanId])
  })
)

it.live("three nodes may start at once on an empty database", () =>
  Effect.gen(function* () {
    const url = yield* Postgres.emptyUrl
    const nodes = yield* Effect.forEach(
      ["a", "b", "c"],
      (name) =>
        Effect.flatMap(Layer.build(databaseAt(url)), (database) =>
          join(serves(name), { database: Layer.succeedContext(database) })
        ),
      { concurrency: "unbounded" }
    )
    const client = yield* Effect.provide(Where.client, nodes[0]!.context)
    yield* until(
      Effect.forEach(ids, (id) => patiently(client.ask(id).Node()), { concurrency: "unbounded" }),
      (names) => new Set(names).size === 3
    )
  })
)
