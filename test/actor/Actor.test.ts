import { expect, test } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import { Conflict } from "../../src/errors.ts"
import { it } from "../kit/effect.ts"

const Counter = Actor.make("Counter", {
  protocol: [
    Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int, error: Conflict }),
    Rpc.make("Slow", { success: Schema.Int }),
    Rpc.make("Watch", { success: Schema.Int, stream: true }),
    Rpc.make("Reset").annotate(Actor.Idempotent, true)
  ],
  mailbox: { capacity: 4 },
  idle: "2 minutes",
  askTimeout: "10 seconds"
})

const counters = Counter.toLayer(() =>
  Effect.gen(function* () {
    const changes = yield* PubSub.bounded<number>(16)
    let n = 0
    return {
      Add: ({ amount }) => {
        if (amount < 0) return Effect.fail(new Conflict({ message: "negative" }))
        if (amount === 13) return Effect.die("thirteen")
        n += amount
        return Effect.as(PubSub.publish(changes, n), n)
      },
      Slow: () => Actor.later(Effect.as(Effect.sleep("1 second"), n)),
      Watch: () => Stream.fromPubSub(changes),
      Reset: () =>
        Effect.sync(() => {
          n = 0
        })
    }
  })
)

const system = counters.pipe(Layer.provideMerge(ActorSystem.layerTest))

it("an ask gives the reply and the state stays between messages", () =>
  Effect.gen(function* () {
    const counter = yield* Counter.client
    expect(yield* counter.ask("a").Add({ amount: 2 })).toBe(2)
    expect(yield* counter.ask("a").Add({ amount: 3 })).toBe(5)
    expect(yield* counter.ask("b").Add({ amount: 1 })).toBe(1)
    yield* counter.tell("a").Reset({})
    expect(yield* counter.ask("a").Add({ amount: 1 })).toBe(1)
  }).pipe(Effect.provide(system)))

it("a failure of the protocol reaches the caller typed", () =>
  Effect.gen(function* () {
    const counter = yield* Counter.client
    const failure = yield* Effect.flip(counter.ask("a").Add({ amount: -1 }))
    expect(failure).toEqual(new Conflict({ message: "negative" }))
  }).pipe(Effect.provide(system)))

it("a defect is answered with ActorCrashed, and the actor starts afresh", () =>
  Effect.gen(function* () {
    const counter = yield* Counter.client
    yield* counter.ask("a").Add({ amount: 2 })
    expect((yield* Effect.flip(counter.ask("a").Add({ amount: 13 })))._tag).toBe("ActorCrashed")
    expect(yield* counter.ask("a").Add({ amount: 1 })).toBe(1)
  }).pipe(Effect.provide(system)))

it("a later reply lets the next message begin", () =>
  Effect.gen(function* () {
    const counter = yield* Counter.client
    const slow = yield* Effect.fork(counter.ask("a").Slow())
    yield* Effect.yieldNow()
    expect(yield* counter.ask("a").Add({ amount: 4 })).toBe(4)
    yield* TestClock.adjust("1 second")
    expect(yield* Fiber.join(slow)).toBe(0)
  }).pipe(Effect.provide(system)))

it("a streamed reply gives what happens after it", () =>
  Effect.gen(function* () {
    const counter = yield* Counter.client
    const open = yield* Deferred.make<void>()
    const seen = yield* counter
      .ask("a")
      .Watch()
      .pipe(Stream.onStart(Deferred.succeed(open, undefined)), Stream.take(2), Stream.runCollect, Effect.fork)
    yield* Deferred.await(open)
    yield* Effect.yieldNow()
    yield* Effect.yieldNow()
    yield* counter.ask("a").Add({ amount: 1 })
    yield* counter.ask("a").Add({ amount: 1 })
    expect(Chunk.toReadonlyArray(yield* Fiber.join(seen))).toEqual([1, 2])
  }).pipe(Effect.provide(system)))

it("an actor without messages is passivated after its idle time", () =>
  Effect.gen(function* () {
    const counter = yield* Counter.client
    yield* counter.ask("a").Add({ amount: 1 })
    expect(yield* counter.isActive("a")).toBe(true)
    yield* TestClock.adjust("2 minutes")
    expect(yield* counter.isActive("a")).toBe(false)
    expect(yield* counter.ask("a").Add({ amount: 1 })).toBe(1)
  }).pipe(Effect.provide(system)))

test("a definition knows which messages may be handled twice, and the shard group", () => {
  expect([...Counter.definition.idempotent]).toEqual(["Reset"])
  expect(Counter.definition.group).toBe("default")
  expect(Actor.make("Grouped", { protocol: [Rpc.make("Reset")], group: "queuing" }).definition.group).toBe("queuing")
})
