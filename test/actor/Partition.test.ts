import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as Inbox from "../../src/actor/Inbox.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import * as Proxy from "../kit/Proxy.ts"
import { databaseAt, join, patiently, until } from "./nodes.ts"

const Count = Actor.make("Count", {
  protocol: [
    Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int }),
    Rpc.make("Node", { success: Schema.String }).annotate(Actor.Idempotent, true),
    Rpc.make("Work")
  ],
  state: { schema: Schema.Struct({ n: Schema.Int }), initial: { n: 0 } },
  askTimeout: "8 seconds"
})

/** What a node did without asking the database, and when it was made to stop. */
interface Log {
  readonly acts: Array<{ readonly node: string; readonly at: number }>
}

const counts = (node: string, log: Log) =>
  Count.toLayer(({ state }) =>
    Effect.succeed({
      Add: ({ amount }) => Effect.map(Effect.orDie(state.update(({ n }) => ({ n: n + amount }))), ({ n }) => n),
      Node: () => Effect.succeed(node),
      /** Acts on the outside world every few milliseconds. */
      Work: () =>
        Effect.forever(
          Effect.zipRight(
            Effect.map(Clock.currentTimeMillis, (at) => log.acts.push({ node, at })),
            Effect.sleep("20 millis")
          )
        )
    })
  )

it.live("a node that is cut off from Postgres stops before another one takes over, and comes back", () =>
  Effect.gen(function* () {
    const url = new URL(yield* Postgres.url)
    const proxy = yield* Proxy.start(Number(url.port))
    const near = Layer.succeedContext(yield* Layer.build(databaseAt(url.href)))
    url.port = String(proxy.port)
    const far = Layer.succeedContext(yield* Layer.build(databaseAt(url.href)))

    const log: Log = { acts: [] }
    const system = { drainTimeout: 0, grace: 0 }
    const a = yield* join(counts("cut off", log), { database: far, system })
    const b = yield* join(counts("near", log), { database: near, system })
    const onA = yield* Effect.provide(Count.client, a.context)
    const onB = yield* Effect.provide(Count.client, b.context)
    const inboxOnB = yield* Effect.provide(Inbox.of(Count), b.context)
    const ids = Array.from({ length: 40 }, (_, i) => `count-${i}`)
    const nodes = yield* until(
      Effect.forEach(ids, (id) => patiently(onB.ask(id).Node()), { concurrency: 8 }),
      (names) => new Set(names).size === 2
    )
    const id = ids[nodes.indexOf("cut off")]!
    const busy = ids[nodes.lastIndexOf("cut off")]!
    expect(yield* inboxOnB.ask(id, "1").Add({ amount: 1 })).toBe(1)
    yield* Effect.fork(Effect.exit(onA.ask(busy).Work()))

    proxy.pause()
    const cut = yield* Clock.currentTimeMillis
    // A message that is under way to Postgres when the line stalls; nobody hears of it until the line is back.
    const late = yield* Effect.fork(Effect.exit(onA.ask(id).Add({ amount: 100 })))
    const adds = Array.from({ length: 5 }, (_, i) => patiently(inboxOnB.ask(id, `${i + 2}`).Add({ amount: 1 })))
    expect(yield* Effect.all(adds, { concurrency: "unbounded" })).toHaveLength(5)
    const takenOver = yield* Clock.currentTimeMillis
    expect(yield* patiently(onB.ask(id).Node())).toBe("near")
    const acts = log.acts.filter(({ node }) => node === "cut off").map(({ at }) => at)
    expect(acts.length).toBeGreaterThan(0)
    expect(Math.max(...acts) - cut).toBeLessThan(3_000)
    expect(Math.max(...acts)).toBeLessThan(takenOver)

    proxy.resume()
    yield* Fiber.join(late)
    expect(yield* patiently(onB.ask(id).Add({ amount: 0 }))).toBe(6)
    yield* until(
      Effect.forEach(ids, (each) => patiently(onB.ask(each).Node()), { concurrency: 8 }),
      (names) => new Set(names).size === 2
    )
    expect(yield* patiently(onA.ask(id).Add({ amount: 0 }))).toBe(6)
    const sql = yield* Effect.provide(SqlClient.SqlClient, near)
    expect(yield* sql`select (state->>'n')::int as n from actor_states where id = ${id}`).toEqual([{ n: 6 }])
  })
)
