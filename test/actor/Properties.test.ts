import { expect, test } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import fc from "fast-check"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Simulation from "../../src/actor/Simulation.ts"

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

interface Work {
  readonly sender: number
  readonly seq: number
  readonly millis: number
}

/** What the actors saw. */
class Seen {
  readonly begun = new Map<string, Array<Work>>()
  readonly inside = new Map<string, number>()
  overlaps = 0
  depthMax = 0

  turn<A>(id: string, message: Work, end: () => A): Effect.Effect<A> {
    return Effect.suspend(() => {
      this.begun.set(id, [...(this.begun.get(id) ?? []), message])
      const inside = this.inside.get(id) ?? 0
      if (inside > 0) this.overlaps++
      this.inside.set(id, inside + 1)
      return Effect.ensuring(
        Effect.sleep(message.millis),
        Effect.sync(() => this.inside.set(id, (this.inside.get(id) ?? 1) - 1))
      )
    }).pipe(Effect.map(end))
  }
}

const layerOf = (Worker: ReturnType<typeof make>, seen: Seen) =>
  Worker.toLayer(({ id }) =>
    Effect.acquireRelease(
      Effect.succeed({
        Work: (message: Work) => seen.turn(id, message, () => message.seq),
        Boom: (message: Work) =>
          Effect.zipRight(
            seen.turn(id, message, () => undefined),
            Effect.die("boom")
          ),
        Later: (message: Work) =>
          seen.turn(id, message, () => Actor.later(Effect.as(Effect.sleep(message.millis), message.seq))),
        BoomLater: (message: Work) =>
          seen.turn(id, message, () => Actor.later(Effect.zipRight(Effect.sleep(1), Effect.die("late"))))
      }),
      () => Effect.sleep(1)
    )
  ).pipe(Layer.provideMerge(ActorSystem.layerTest), Layer.provide(Logger.remove(Logger.defaultLogger)))

interface Step {
  readonly sender: number
  readonly actor: string
  readonly tag: "Work" | "Later" | "Boom" | "BoomLater"
  readonly millis: number
  /** When the sender loses patience; most never do. */
  readonly interruptAfter: number | null
  readonly pause: number
}

const step: fc.Arbitrary<Step> = fc.record({
  sender: fc.nat({ max: senders - 1 }),
  actor: fc.constantFrom("a", "b"),
  tag: fc.oneof(
    { weight: 6, arbitrary: fc.constant("Work" as const) },
    { weight: 2, arbitrary: fc.constant("Later" as const) },
    { weight: 1, arbitrary: fc.constantFrom("Boom" as const, "BoomLater" as const) }
  ),
  millis: fc.nat({ max: 15 }),
  interruptAfter: fc.option(fc.nat({ max: 20 }), { freq: 4 }),
  pause: fc.oneof(fc.constant(0), fc.nat({ max: 5 }), fc.nat({ max: 90 }))
})

const failures = ["ActorCrashed", "ActorStopped", "MailboxFull", "AskTimeout"]

type Outcome = Exit.Exit<unknown, { readonly _tag: string }>

/** Sends what the plan says and returns how each ask ended. */
const play = (Worker: ReturnType<typeof make>, plan: ReadonlyArray<Step>, seen: Seen) =>
  Effect.gen(function* () {
    const client = yield* Worker.client
    const system = yield* ActorSystem.ActorSystem
    const asks: Array<Fiber.RuntimeFiber<unknown, { readonly _tag: string }>> = []
    for (const [seq, { actor, interruptAfter, millis, pause, sender, tag }] of plan.entries()) {
      // The ask is under way before the next one, as a sender that keeps an order would do: nobody goes between the two.
      const begun = Effect.unsafeMakeLatch()
      const ask = client.ask(actor)[tag]({ sender, seq, millis }) as Effect.Effect<unknown, { readonly _tag: string }>
      const fiber = yield* Effect.fork(Effect.withMaxOpsBeforeYield(Effect.zipRight(begun.open, ask), Infinity))
      yield* begun.await
      asks.push(fiber)
      if (interruptAfter !== null) yield* Effect.fork(Effect.delay(Fiber.interrupt(fiber), interruptAfter))
      seen.depthMax = Math.max(seen.depthMax, (yield* system.stats)[0]!.depth)
      if (pause > 0) yield* Effect.sleep(pause)
    }
    const outcomes: Array<Outcome> = []
    for (const fiber of asks) outcomes.push(yield* Fiber.await(fiber))
    yield* Effect.sleep("5 seconds")
    return { outcomes, stats: (yield* system.stats)[0]! }
  }).pipe(Effect.provide(layerOf(Worker, seen)))

const holds = (Worker: ReturnType<typeof make>, plan: ReadonlyArray<Step>, seed: number): void => {
  const seen = new Seen()
  const { exit } = Simulation.run(() => play(Worker, plan, seen), seed)
  const { outcomes, stats } = Exit.getOrElse(exit, (cause) => {
    throw new Error(String(cause))
  })
  for (const [index, outcome] of outcomes.entries()) {
    if (Exit.isSuccess(outcome)) expect(outcome.value).toBe(index)
    else if (outcome.cause._tag === "Fail") expect(failures).toContain(outcome.cause.error._tag)
    else expect(Exit.isInterrupted(outcome)).toBe(true)
  }
  expect(seen.overlaps).toBe(0)
  expect(seen.depthMax).toBeLessThanOrEqual(capacity * 2)
  for (const begun of seen.begun.values()) {
    for (let sender = 0; sender < senders; sender++) {
      const seqs = begun.filter((message) => message.sender === sender).map((message) => message.seq)
      expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b))
    }
  }
  expect(stats).toMatchObject({ active: 0, depth: 0 })
}

for (const [name, whenFull] of [
  ["fails at its bound", "fail"],
  ["lets senders wait", { waitAtMost: "50 millis" }]
] as const) {
  const Worker = make(whenFull)
  test(
    `whatever crashes, is interrupted or goes idle, a mailbox that ${name} keeps order and answers each ask once`,
    () =>
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), fc.nat(), (plan, seed) =>
          holds(Worker, plan, seed)
        ),
        { numRuns: 60 }
      ),
    30_000
  )
}
