import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, expectTypeOf, test } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Reminders from "../../src/actor/Reminders.ts"
import * as Simulation from "../../src/actor/Simulation.ts"
import * as States from "../../src/actor/States.ts"
import * as Supervised from "../../src/actor/Supervised.ts"
import { it as itVirtual, withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import * as Counter from "./examples/Counter.ts"
import * as Hold from "./examples/Hold.ts"
import * as Room from "./examples/Room.ts"
import { twice } from "./examples/Twice.ts"

const guide = readFileSync(join(import.meta.dirname, "../../docs/guides/actors.md"), "utf8")

for (const name of ["Counter", "Room", "Hold", "Twice"]) {
  test(`the guide shows the ${name} that runs here`, () => {
    const program = readFileSync(join(import.meta.dirname, `examples/${name}.ts`), "utf8")
    expect(guide).toContain(program.slice(program.indexOf("\n\n") + 2).trim())
  })
}

type NeedsOf<L> = L extends Layer.Layer<infer _ROut, infer _E, infer Needs> ? Needs : never

test("a layer asks for what its definition needs, and for no more", () => {
  expectTypeOf<NeedsOf<typeof Room.layer>>().toEqualTypeOf<ActorSystem.ActorSystem>()
  expectTypeOf<NeedsOf<typeof Counter.layer>>().toEqualTypeOf<ActorSystem.ActorSystem | States.States>()
  expectTypeOf<NeedsOf<typeof Hold.layer>>().toEqualTypeOf<
    ActorSystem.ActorSystem | States.States | Reminders.Reminders
  >()
})

itVirtual("a room says to its listeners what is said, the last lines first", () =>
  Effect.gen(function* () {
    const room = (yield* Room.Room.client).ask("lobby")
    yield* room.Say({ line: "before" })
    const heard = yield* room.Listen().pipe(Stream.take(2), Stream.runCollect, Effect.fork)
    yield* Effect.yieldNow()
    expect(yield* room.Say({ line: "hello" })).toBe(2)
    expect(Chunk.toReadonlyArray(yield* Fiber.join(heard))).toEqual(["before", "hello"])
  }).pipe(Effect.provide(Room.layer.pipe(Layer.provideMerge(ActorSystem.layerTest))))
)

test("a seed shows the order in which two callers count twice, and shows it again", () => {
  const countsToOne = ({ exit }: Simulation.Result<number, unknown>) => expect(exit).toEqual(Exit.succeed(1))
  const found = Simulation.search(twice, countsToOne, 100)
  expect(found).toBeDefined()
  expect(Simulation.run(twice, found!.seed).exit).toEqual(Exit.succeed(2))
})

const layer = Layer.mergeAll(Counter.layer, Hold.layer).pipe(
  Layer.provideMerge(Reminders.layer),
  Layer.provideMerge(Layer.mergeAll(ActorSystem.layerTest, Supervised.Registry.layer, States.layerSql)),
  Layer.provideMerge(Postgres.layerDatabase)
)

withLayer("in Postgres", layer, (it) => {
  it("a counter keeps its count", () =>
    Effect.gen(function* () {
      const counter = (yield* Counter.Counter.client).ask("visits")
      expect(yield* counter.Add({ amount: 2 })).toBe(2)
      expect(yield* counter.Add({ amount: 3 })).toBe(5)
      expect(yield* counter.Count()).toBe(5)
    }))

  it("a hold ends by its reminder", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const reminders = yield* Reminders.Reminders
      const seat = (yield* Hold.Hold.client).ask("12a")
      expect(yield* seat.Take({ by: "ada" })).toBe(true)
      expect(yield* seat.Take({ by: "bob" })).toBe(false)
      yield* sql`update actor_reminders set due_at = now() - interval '1 second' where id = '12a'`
      yield* reminders.deliver
      expect(yield* seat.Holder()).toBe(null)
      expect(yield* seat.Take({ by: "bob" })).toBe(true)
    }))
})
