import { expect, test } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import { deadLettersMax } from "../../src/actor/local/DeadLetters.ts"
import { Tombstones, tombstonesMax } from "../../src/actor/local/Tombstones.ts"
import { it } from "../kit/effect.ts"

test("the actors that failed first are forgotten first, and failing again keeps one", () => {
  const tombstones = new Tombstones()
  const failed = { untilMillis: 0, failures: [0] }
  for (let i = 0; i < tombstonesMax; i++) tombstones.set(`actor-${i}`, failed)
  tombstones.set("actor-0", failed)
  tombstones.set("one more", failed)
  expect(tombstones.get("actor-0")).toBe(failed)
  expect(tombstones.get("actor-1")).toBeUndefined()
  expect(tombstones.get("actor-2")).toBe(failed)
})

const Bomb = Actor.make("BoundedBomb", {
  protocol: [Rpc.make("Boom")],
  supervision: { strategy: "resume", intensity: deadLettersMax * 2, backoff: { initial: 0, max: 0 } }
})

const bombs = Bomb.toLayer(() => Effect.succeed({ Boom: () => Effect.die("boom") })).pipe(
  Layer.provideMerge(ActorSystem.layerTest),
  Layer.provide(Logger.remove(Logger.defaultLogger))
)

it("the last dead letters are kept, oldest first", () =>
  Effect.gen(function* () {
    const client = yield* Bomb.client
    const system = yield* ActorSystem.ActorSystem
    for (let i = 0; i <= deadLettersMax; i++) yield* Effect.flip(client.ask(`bomb-${i}`).Boom())
    const ids = (yield* system.deadLetters).map(({ id }) => id)
    expect(ids).toEqual(Array.from({ length: deadLettersMax }, (_, i) => `bomb-${i + 1}`))
  }).pipe(Effect.provide(bombs)))
