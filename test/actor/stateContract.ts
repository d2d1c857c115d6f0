import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as States from "../../src/actor/States.ts"
import { DatabaseUnavailable } from "../../src/errors.ts"

const silent = Logger.remove(Logger.defaultLogger)

const Counter = Actor.make("Counter", {
  protocol: [
    Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int, error: DatabaseUnavailable }),
    Rpc.make("Forget")
  ],
  state: { schema: Schema.Struct({ n: Schema.Int }), initial: { n: 0 } }
})

const counters = Counter.toLayer(({ state }) =>
  Effect.succeed({
    Add: ({ amount }) =>
      Effect.map(
        state.update(({ n }) => ({ n: n + amount })),
        ({ n }) => n
      ),
    Forget: () => Effect.die("forgotten")
  })
)

/** The same actor in a later program, which keeps another state. */
const Later = Actor.make("Counter", {
  protocol: [Rpc.make("Show", { success: Schema.String, error: DatabaseUnavailable })],
  state: {
    schema: Schema.Struct({ total: Schema.Int, unit: Schema.String }),
    initial: { total: 0, unit: "" },
    migrations: [
      (old) => ({ total: (old as { n: number }).n }),
      (old) => ({ ...(old as { total: number }), unit: "points" })
    ]
  }
})

const later = Layer.fresh(
  Later.toLayer(({ state }) =>
    Effect.succeed({
      Show: () =>
        Effect.map(
          state.update((kept) => kept),
          ({ total, unit }) => `${total} ${unit}`
        )
    })
  ).pipe(Layer.provideMerge(ActorSystem.layerTest), Layer.provide(silent))
)

/** A process of its own as far as actors know: another system on the same states. */
const node = Layer.fresh(counters.pipe(Layer.provideMerge(ActorSystem.layerTest), Layer.provide(silent)))

type Cases = (it: (name: string, body: () => Effect.Effect<unknown, unknown, States.States>) => void) => void

/** What holds of the states of actors wherever they are kept. */
export const contract: Cases = (claim) => {
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

  claim("an old state is brought forward step by step, and an older program does not touch it then", () =>
    Effect.gen(function* () {
      const add = Effect.flatMap(Counter.client, (client) => client.ask("old").Add({ amount: 7 })).pipe(
        Effect.provide(node)
      )
      expect(yield* add).toBe(7)
      const shown = Effect.flatMap(Later.client, (client) => client.ask("old").Show()).pipe(Effect.provide(later))
      expect(yield* shown).toBe("7 points")
      expect((yield* Effect.flip(add))._tag).toBe("ActorStopped")
      expect(yield* shown).toBe("7 points")
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
