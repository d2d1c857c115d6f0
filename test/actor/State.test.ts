import { describe, expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as State from "../../src/actor/State.ts"
import * as States from "../../src/actor/States.ts"
import { DatabaseUnavailable } from "../../src/errors.ts"
import { it, withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const Counter = Actor.make("Counter", {
  protocol: [
    Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int, error: DatabaseUnavailable }),
    Rpc.make("Forget")
  ]
})

const Count = State.make({ schema: Schema.Struct({ n: Schema.Int }), initial: { n: 0 } })

const counters = Counter.toLayer((self) =>
  Effect.map(Count.open(self), (state) => ({
    Add: ({ amount }: { readonly amount: number }) =>
      state
        .update(({ n }) => ({ n: n + amount }))
        .pipe(
          Effect.map(({ n }) => n),
          Effect.catchTag("StaleOwner", Effect.die)
        ),
    Forget: () => Effect.die("forgotten")
  }))
)

/** A process of its own as far as actors know: another system on the same states. */
const node = Layer.fresh(counters.pipe(Layer.provideMerge(ActorSystem.layerTest)))

type Cases = (it: (name: string, body: () => Effect.Effect<unknown, unknown, States.States>) => void) => void

const contract: Cases = (claim) => {
  claim("a state outlives its actor", () =>
    Effect.gen(function* () {
      const add = (amount: number) =>
        Effect.flatMap(Counter.client, (client) => client.ask("kept").Add({ amount })).pipe(Effect.provide(node))
      expect(yield* add(2)).toBe(2)
      expect(yield* add(3)).toBe(5)
    })
  )

  claim("a crash goes back to what was written last", () =>
    Effect.gen(function* () {
      const client = yield* Counter.client
      yield* client.ask("crashing").Add({ amount: 2 })
      yield* Effect.flip(client.ask("crashing").Forget())
      expect(yield* client.ask("crashing").Add({ amount: 1 })).toBe(3)
    }).pipe(Effect.provide(node))
  )

  claim("the activation that was taken over writes nothing; the next one goes on from what is kept", () =>
    Effect.gen(function* () {
      const a = yield* Layer.build(node)
      const b = yield* Layer.build(node)
      const first = yield* Effect.provide(Counter.client, a)
      const second = yield* Effect.provide(Counter.client, b)
      expect(yield* first.ask("moved").Add({ amount: 1 })).toBe(1)
      expect(yield* second.ask("moved").Add({ amount: 10 })).toBe(11)
      expect((yield* Effect.flip(first.ask("moved").Add({ amount: 100 })))._tag).toBe("ActorStopped")
      expect(yield* first.ask("moved").Add({ amount: 1_000 })).toBe(1_011)
      expect((yield* Effect.flip(second.ask("moved").Add({ amount: 1 })))._tag).toBe("ActorStopped")
    }).pipe(Effect.scoped)
  )

  claim("an old state is brought forward step by step", () =>
    Effect.gen(function* () {
      const self = { actor: "Counter", id: "old" }
      const before = yield* Count.open(self)
      yield* before.set({ n: 7 })
      const Later = State.make({
        schema: Schema.Struct({ total: Schema.Int, unit: Schema.String }),
        initial: { total: 0, unit: "" },
        version: 3,
        migrations: [
          (old) => ({ total: (old as { n: number }).n }),
          (old) => ({ ...(old as { total: number }), unit: "points" })
        ]
      })
      const after = yield* Later.open(self)
      expect(after.current).toEqual({ total: 7, unit: "points" })
      yield* after.set({ total: 8, unit: "points" })
      expect(String(yield* Effect.exit(Count.open(self)))).toContain("schema version 3")
    })
  )

  claim("writes that come together are all kept, the last of each actor", () =>
    Effect.gen(function* () {
      const states = yield* States.States
      const owner = "00000000-0000-7000-8000-000000000001"
      const ids = Array.from({ length: 50 }, (_, i) => `many-${i}`)
      yield* Effect.forEach(ids, (id) => states.claim("Many", id, owner, 1), { concurrency: 10 })
      const write = (id: string, n: number) =>
        states.write({ actor: "Many", id, owner, schemaVersion: 1, state: { n } })
      yield* Effect.all([...ids.map((id) => write(id, 1)), ...ids.map((id) => write(id, 2))], {
        concurrency: "unbounded"
      })
      const read = yield* Effect.forEach(ids, (id) => states.claim("Many", id, owner, 1))
      expect(read.map(({ state }) => state)).toEqual(ids.map(() => ({ n: 2 })))
    })
  )
}

describe("in memory", () => contract((name, body) => it(name, () => Effect.provide(body(), States.layerMemory))))

withLayer("in Postgres", States.layerSql.pipe(Layer.provideMerge(Postgres.layerDatabase)), contract)
