import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ActorSystem from "../../../src/actor/ActorSystem.ts"
import * as States from "../../../src/actor/States.ts"
import { Counter, layer } from "./Counter.ts"

/** Meant to count to one and no further. But between its two messages another caller has its turn. */
const countOnce = Effect.gen(function* () {
  const counter = (yield* Counter.client).ask("visits")
  if ((yield* counter.Count()) === 0) yield* counter.Add({ amount: 1 })
})

const system = layer.pipe(Layer.provideMerge(ActorSystem.layerTest), Layer.provide(States.layerMemory))

export const twice = () =>
  Effect.gen(function* () {
    yield* Effect.all([countOnce, countOnce], { concurrency: "unbounded" })
    return yield* (yield* Counter.client).ask("visits").Count()
  }).pipe(Effect.provide(system))
