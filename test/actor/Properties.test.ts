import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import fc from "fast-check"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import { it } from "../kit/effect.ts"

const capacity = 3
const senders = 4

const work = { sender: Schema.Int, seq: Schema.Int, millis: Schema.Int }

const make = (whenFull: "fail" | { readonly waitAtMost: "50 millis" }) =>
  Actor.make("Worker", {
    protocol: [
      Rpc.make("Work", { payload: work, success: Schema.Int }),
      Rpc.make("Boom", { payload: work }),
      Rpc.make("Later", { payload: work, success: Schema.Int }),
      Rpc.make("BoomLater", { payload: work })
    ],
    mailbox: { capacity, whenFull },
    supervision: { intensity: 3, window: "1 second", backoff: { initial: "5 millis", max: "20 millis" } },
    idle: "40 millis",
    askTimeout: "2 seconds"
  })

/** What the actors saw, by id. */
interface Seen {
  readonly begun: Map<string, Array<{ readonly sender: number; readonly seq: number }>>
  readonly inside: Map<string, number>
  overlaps: number
  depthMax: number
}

const layerOf = (Worker: ReturnType<typeof make>, seen: Seen) =>
  Worker.toLayer(({ id }) =>
    Effect.gen(function* () {
      yield* Effect.addFinalizer(() => Effect.sync(() => seen.inside.set(id, 0)))
      const turn = <A>(
        message: { readonly sender: number; readonly seq: number; readonly millis: number },
        end: () => A
      ) =>
        Effect.suspend(() => {
          seen.begun.set(id, [...(seen.begun.get(id) ?? []), message])
          const inside = (seen.inside.get(id) ?? 0) + 1
          seen.inside.set(id, inside)
          if (inside > 1) seen.overlaps++
          return Effect.ensuring(
            Effect.sleep(message.millis),
            Effect.sync(() => seen.inside.set(id, (seen.inside.get(id) ?? 1) - 1))
          )
        }).pipe(Effect.map(end))
      return {
        Work: (message) => turn(message, () => message.seq),
        Boom: (message) =>
          Effect.zipRight(
            turn(message, () => undefined),
            Effect.die("boom")
          ),
        Later: (message) => turn(message, () => Actor.later(Effect.as(Effect.sleep(message.millis), message.seq))),
        BoomLater: (message) => turn(message, () => Actor.later(Effect.zipRight(Effect.sleep(1), Effect.die("late"))))
      }
    })
  ).pipe(Layer.provideMerge(ActorSystem.layerTest), Layer.provide(Logger.remove(Logger.defaultLogger)))

const step = fc.record({
  sender: fc.nat({ max: senders - 1 }),
  actor: fc.constantFrom("a", "b"),
  tag: fc.oneof(
    { weight: 6, arbitrary: fc.constant("Work" as const) },
    { weight: 2, arbitrary: fc.constant("Later" as const) },
    { weight: 1, arbitrary: fc.constantFrom("Boom" as const, "BoomLater" as const) }
  ),
  millis: fc.nat({ max: 15 }),
  /** When the sender loses patience; most never do. */
  interruptAfter: fc.option(fc.nat({ max: 20 }), { freq: 4 }),
  pause: fc.nat({ max: 60 })
})

const outcomes = new Set(["ActorCrashed", "ActorStopped", "MailboxFull", "AskTimeout"])

const run = (
  plan: ReadonlyArray<typeof step extends fc.Arbitrary<infer S> ? S : never>,
  Worker: ReturnType<typeof make>
) => {
  const seen: Seen = { begun: new Map(), inside: new Map(), overlaps: 0, depthMax: 0 }
  return Effect.gen(function* () {
    const client = yield* Worker.client
    const system = yield* ActorSystem.ActorSystem
    const asks: Array<Fiber.RuntimeFiber<unknown, { readonly _tag: string }>> = []
    for (const [seq, { actor, interruptAfter, millis, pause, sender, tag }] of plan.entries()) {
      const ask = client.ask(actor)[tag]({ sender, seq, millis }) as Effect.Effect<unknown, { readonly _tag: string }>
      const fiber = yield* Effect.fork(ask)
      asks.push(fiber)
      if (interruptAfter !== null) yield* Effect.fork(Effect.delay(Fiber.interrupt(fiber), interruptAfter))
      yield* Effect.yieldNow()
      seen.depthMax = Math.max(seen.depthMax, (yield* system.stats)[0]!.depth)
      if (pause > 30) yield* TestClock.adjust(pause - 30)
    }
    for (let i = 0; i < 30; i++) yield* TestClock.adjust("100 millis")
    for (const [index, fiber] of asks.entries()) {
      const exit = yield* Effect.flatMap(Fiber.poll(fiber), (done) => done)
      if (Exit.isFailure(exit) && !Exit.isInterrupted(exit)) {
        const failure = yield* Effect.flip(exit)
        expect(outcomes).toContain(failure._tag)
      }
      if (Exit.isSuccess(exit)) expect(exit.value).toBe(index)
    }
    expect(seen.overlaps).toBe(0)
    expect(seen.depthMax).toBeLessThanOrEqual(capacity * 2)
    for (const begun of seen.begun.values()) {
      for (let sender = 0; sender < senders; sender++) {
        const seqs = begun.filter((message) => message.sender === sender).map((message) => message.seq)
        expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b))
      }
    }
    expect((yield* system.stats)[0]).toMatchObject({ active: 0, depth: 0 })
  }).pipe(Effect.provide(layerOf(Worker, seen)))
}

for (const [name, whenFull] of [
  ["fails at its bound", "fail"],
  ["lets senders wait", { waitAtMost: "50 millis" }]
] as const) {
  const Worker = make(whenFull)
  it(`whatever crashes, is interrupted or goes idle, a mailbox that ${name} keeps order and answers each ask once`, () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), (plan) =>
          Effect.runPromise(run(plan, Worker).pipe(Effect.provide(TestContext.TestContext)))
        ),
        { numRuns: 25 }
      )
    ))
}
