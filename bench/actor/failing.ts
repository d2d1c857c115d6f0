import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import { percentile } from "../kit.ts"
import { ownMillis } from "./ownTime.ts"

const Fragile = Actor.make("Fragile", {
  protocol: [Rpc.make("Ping", { success: Schema.Int }), Rpc.make("Poison"), Rpc.make("Hang")]
})

const layer = (drainTimeout: number) =>
  Fragile.toLayer(() =>
    Effect.sync(() => {
      let n = 0
      return {
        Ping: () => Effect.sync(() => ++n),
        Poison: () => Effect.die(new Error("poison")),
        Hang: () => Effect.uninterruptible(Effect.never)
      }
    })
  ).pipe(
    Layer.provideMerge(ActorSystem.layerLocalWith({ drainTimeout })),
    Layer.provide(Logger.remove(Logger.defaultLogger))
  )

const millisOf = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    const begun = ownMillis()
    return Effect.map(Effect.exit(effect), () => ownMillis() - begun)
  })

/** How soon a poison message is answered, and how much longer another caller of the same actor waits because of it. */
export const poison = async (rounds: number) => {
  const runtime = ManagedRuntime.make(layer(1_000))
  const client = await runtime.runPromise(Fragile.client)
  const answers: Array<number> = []
  const calm: Array<number> = []
  const disturbed: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    await runtime.runPromise(
      Effect.gen(function* () {
        const actor = client.ask(`fragile-${round}`)
        yield* actor.Ping()
        calm.push(yield* millisOf(actor.Ping()))
        const poisoned = yield* Effect.fork(millisOf(actor.Poison()))
        const other = yield* Effect.fork(millisOf(actor.Ping()))
        answers.push(yield* Fiber.join(poisoned))
        disturbed.push(yield* Fiber.join(other))
      })
    )
  }
  await runtime.dispose()
  return {
    answerMillis: percentile(answers, 0.99),
    extraMillis: Math.max(0, percentile(disturbed, 0.99) - percentile(calm, 0.5))
  }
}

/** By how much a shutdown with a poisoned actor and one that cannot be interrupted is later than its deadline. */
export const shutdown = async (deadlineMillis: number) => {
  const runtime = ManagedRuntime.make(layer(deadlineMillis))
  const client = await runtime.runPromise(Fragile.client)
  const asks = runtime.runPromise(
    Effect.all([Effect.exit(client.ask("hanging").Hang()), Effect.exit(client.ask("poisoned").Poison())], {
      concurrency: "unbounded"
    })
  )
  await Bun.sleep(10)
  const begun = performance.now()
  await runtime.dispose()
  const over = performance.now() - begun - deadlineMillis
  await asks.catch(() => undefined)
  return over
}
