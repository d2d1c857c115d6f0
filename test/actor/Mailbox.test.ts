import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import { AskTimeout, MailboxFull } from "../../src/errors.ts"
import { it } from "../kit/effect.ts"

const protocol = [
  Rpc.make("Work", { payload: { millis: Schema.Int }, success: Schema.Int }),
  Rpc.make("Later", { payload: { millis: Schema.Int }, success: Schema.Int })
] as const

const worker = (mailbox: Parameters<typeof Actor.make>[1]["mailbox"]) => {
  const Worker = Actor.make("Worker", { protocol, mailbox: mailbox!, askTimeout: "10 seconds" })
  const layer = Worker.toLayer(() =>
    Effect.sync(() => {
      let done = 0
      return {
        Work: ({ millis }) => Effect.as(Effect.sleep(millis), ++done),
        Later: ({ millis }) => Actor.later(Effect.as(Effect.sleep(millis), ++done))
      }
    })
  )
  return { Worker, layer: layer.pipe(Layer.provideMerge(ActorSystem.layerTest)) }
}

const failing = worker({ capacity: 2 })
const waiting = worker({ capacity: 2, whenFull: { waitAtMost: "1 second" } })

it("a full mailbox fails the next message at once and keeps the others", () =>
  Effect.gen(function* () {
    const client = yield* failing.Worker.client
    const asks = yield* Effect.forEach([1, 2, 3], () => Effect.fork(client.ask("a").Work({ millis: 100 })))
    yield* Effect.yieldNow()
    expect(yield* Effect.flip(client.ask("a").Work({ millis: 100 }))).toEqual(
      new MailboxFull({ actor: "Worker", capacity: 2 })
    )
    expect((yield* Effect.flip(client.tell("a").Work({ millis: 100 })))._tag).toBe("MailboxFull")
    yield* TestClock.adjust("300 millis")
    expect(yield* Fiber.join(Fiber.all(asks))).toEqual([1, 2, 3])
    const system = yield* ActorSystem.ActorSystem
    expect((yield* system.stats)[0]).toMatchObject({ processed: 3, refused: 2, depth: 0, waitedMillisMax: 200 })
  }).pipe(Effect.provide(failing.layer)))

it("a sender waits for room as long as the actor lets it", () =>
  Effect.gen(function* () {
    const client = yield* waiting.Worker.client
    const asks = yield* Effect.forEach([1, 2, 3, 4], () => Effect.fork(client.ask("a").Work({ millis: 600 })))
    yield* TestClock.adjust("600 millis")
    const late = yield* Effect.fork(Effect.flip(client.ask("a").Work({ millis: 5_000 })))
    const tooMany = yield* Effect.forEach([1, 2], () => Effect.fork(Effect.flip(client.tell("a").Work({ millis: 1 }))))
    yield* TestClock.adjust("1800 millis")
    expect(yield* Fiber.join(Fiber.all(asks))).toEqual([1, 2, 3, 4])
    expect((yield* Fiber.poll(tooMany[1]!))._tag).toBe("Some")
    yield* Fiber.interrupt(late)
  }).pipe(Effect.provide(waiting.layer)))

it("a sender that waited too long is refused", () =>
  Effect.gen(function* () {
    const client = yield* waiting.Worker.client
    yield* Effect.forEach([1, 2, 3], () => client.tell("a").Work({ millis: 5_000 }))
    const late = yield* Effect.fork(Effect.flip(client.ask("a").Work({ millis: 1 })))
    yield* TestClock.adjust("999 millis")
    expect((yield* Fiber.poll(late))._tag).toBe("None")
    yield* TestClock.adjust("1 millis")
    expect((yield* Fiber.join(late))._tag).toBe("MailboxFull")
  }).pipe(Effect.provide(waiting.layer)))

it("an asker gets AskTimeout after the actor's time, and a message that had not begun is dropped", () =>
  Effect.gen(function* () {
    const client = yield* failing.Worker.client
    yield* client.tell("a").Work({ millis: 60_000 })
    const ask = yield* Effect.fork(Effect.flip(client.ask("a").Work({ millis: 1 })))
    yield* TestClock.adjust("10 seconds")
    expect(yield* Fiber.join(ask)).toEqual(new AskTimeout({ actor: "Worker", timeoutMillis: 10_000 }))
    yield* TestClock.adjust("1 minute")
    expect(yield* Effect.zipRight(Effect.fork(TestClock.adjust("1 millis")), client.ask("a").Work({ millis: 0 }))).toBe(
      2
    )
  }).pipe(Effect.provide(failing.layer)))

it("an asker that is interrupted does not disturb the actor", () =>
  Effect.gen(function* () {
    const client = yield* failing.Worker.client
    const first = yield* Effect.fork(client.ask("a").Work({ millis: 100 }))
    const second = yield* Effect.fork(client.ask("a").Work({ millis: 100 }))
    const third = yield* Effect.fork(client.ask("a").Work({ millis: 100 }))
    yield* Effect.yieldNow()
    yield* Fiber.interrupt(first)
    yield* Fiber.interrupt(second)
    yield* TestClock.adjust("200 millis")
    expect(yield* Fiber.join(third)).toBe(2)
  }).pipe(Effect.provide(failing.layer)))

it("replies after the turn are as many as the mailbox has places; then turns wait", () =>
  Effect.gen(function* () {
    const client = yield* failing.Worker.client
    const asks = yield* Effect.forEach([1, 2, 3], () => Effect.fork(client.ask("a").Later({ millis: 100 })))
    yield* TestClock.adjust("100 millis")
    expect((yield* Fiber.poll(asks[1]!))._tag).toBe("Some")
    expect((yield* Fiber.poll(asks[2]!))._tag).toBe("None")
    yield* TestClock.adjust("100 millis")
    expect(yield* Fiber.join(Fiber.all(asks))).toEqual([1, 2, 3])
  }).pipe(Effect.provide(failing.layer)))
