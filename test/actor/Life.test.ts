import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import { it } from "../kit/effect.ts"

const Room = Actor.make("Room", {
  protocol: [
    Rpc.make("Ping", { success: Schema.Int }),
    Rpc.make("Hang"),
    Rpc.make("HangHard"),
    Rpc.make("Sleep", { payload: { millis: Schema.Int }, success: Schema.Int }),
    Rpc.make("Watch", { success: Schema.Int, stream: true })
  ],
  idle: "1 minute",
  askTimeout: "1 hour"
})

const Mover = Actor.make("Mover", { protocol: [Rpc.make("Reply")], askTimeout: "1 hour" })

const rooms = (
  seen: Array<string> = [],
  finalizer: Effect.Effect<void> = Effect.void,
  system: Layer.Layer<ActorSystem.ActorSystem> = ActorSystem.layerTest
) =>
  Room.toLayer(({ id }) =>
    Effect.gen(function* () {
      seen.push(`start ${id}`)
      yield* Effect.addFinalizer(() =>
        Effect.zipRight(
          finalizer,
          Effect.sync(() => seen.push(`end ${id}`))
        )
      )
      let n = 0
      return {
        Ping: () => Effect.sync(() => ++n),
        Hang: () => Effect.never,
        HangHard: () => Effect.uninterruptible(Effect.never),
        Sleep: ({ millis }) => Effect.as(Effect.sleep(millis), ++n),
        Watch: () => Stream.never
      }
    })
  ).pipe(Layer.provideMerge(system), Layer.provide(Logger.remove(Logger.defaultLogger)))

it("going idle closes the scope; the next message activates again", () => {
  const seen: Array<string> = []
  return Effect.gen(function* () {
    const client = yield* Room.client
    yield* client.ask("a").Ping()
    yield* TestClock.adjust("59 seconds")
    yield* client.ask("a").Ping()
    yield* TestClock.adjust("59 seconds")
    expect(yield* client.isActive("a")).toBe(true)
    yield* TestClock.adjust("1 seconds")
    expect(yield* client.isActive("a")).toBe(false)
    expect(yield* client.ask("a").Ping()).toBe(1)
    expect(seen).toEqual(["start a", "end a", "start a"])
  }).pipe(Effect.provide(rooms(seen)))
})

it("asking whether an actor is active does not activate it", () => {
  const seen: Array<string> = []
  return Effect.gen(function* () {
    const client = yield* Room.client
    expect(yield* client.isActive("a")).toBe(false)
    expect(seen).toEqual([])
  }).pipe(Effect.provide(rooms(seen)))
})

it("an open stream keeps its actor; when it ends the idle time begins", () =>
  Effect.gen(function* () {
    const client = yield* Room.client
    const watcher = yield* Effect.fork(Stream.runDrain(client.ask("a").Watch()))
    yield* TestClock.adjust("5 minutes")
    expect(yield* client.isActive("a")).toBe(true)
    yield* Fiber.interrupt(watcher)
    yield* TestClock.adjust("1 minutes")
    expect(yield* client.isActive("a")).toBe(false)
  }).pipe(Effect.provide(rooms())))

it("a message that arrives while the actor is put away waits for the new activation", () => {
  const seen: Array<string> = []
  return Effect.gen(function* () {
    const client = yield* Room.client
    yield* client.ask("a").Ping()
    yield* TestClock.adjust("1 minutes")
    const ask = yield* Effect.fork(client.ask("a").Ping())
    yield* TestClock.adjust("1 seconds")
    expect(yield* Fiber.join(ask)).toBe(1)
    expect(seen).toEqual(["start a", "end a", "start a"])
  }).pipe(Effect.provide(rooms(seen, Effect.sleep("1 seconds"))))
})

it("everyone idle at once is put away in slices", () =>
  Effect.gen(function* () {
    const client = yield* Room.client
    const system = yield* ActorSystem.ActorSystem
    for (let i = 0; i < 600; i++) yield* client.ask(`room-${i}`).Ping()
    yield* TestClock.adjust("1 minutes")
    expect((yield* system.stats)[0]).toMatchObject({ active: 0, passivations: 600 })
  }).pipe(Effect.provide(rooms())))

it("shedding puts away the actors that are idle for longest", () =>
  Effect.gen(function* () {
    const client = yield* Room.client
    const system = yield* ActorSystem.ActorSystem
    for (const id of ["a", "b", "c", "d"]) yield* client.ask(id).Ping()
    yield* client.ask("a").Ping()
    expect(yield* system.shed(0.5)).toBe(2)
    yield* TestClock.adjust(0)
    expect(yield* Effect.forEach(["a", "b", "c", "d"], client.isActive)).toEqual([true, false, false, true])
  }).pipe(Effect.provide(rooms())))

it("a drain finishes the mailboxes and closes the scopes", () => {
  const seen: Array<string> = []
  return Effect.gen(function* () {
    const client = yield* Room.client
    const system = yield* ActorSystem.ActorSystem
    const asks = yield* Effect.forEach([1, 2, 3], () => Effect.fork(client.ask("a").Sleep({ millis: 100 })))
    yield* Effect.yieldNow()
    const drain = yield* Effect.fork(system.drain("5 seconds"))
    yield* TestClock.adjust("300 millis")
    expect(yield* Fiber.join(Fiber.all(asks))).toEqual([1, 2, 3])
    expect(yield* Fiber.join(drain)).toBe(0)
    expect(seen).toEqual(["start a", "end a"])
    expect((yield* Effect.flip(client.ask("b").Ping()))._tag).toBe("ActorStopped")
  }).pipe(Effect.provide(rooms(seen, Effect.void, ActorSystem.layerLocal)))
})

for (const message of ["Hang", "HangHard"] as const) {
  it(`a drain ends at its deadline when a handler does not (${message})`, () =>
    Effect.gen(function* () {
      const client = yield* Room.client
      const system = yield* ActorSystem.ActorSystem
      const hanging = yield* Effect.fork(Effect.flip(client.ask("a")[message]()))
      const queued = yield* Effect.fork(Effect.flip(client.ask("a").Ping()))
      yield* Effect.yieldNow()
      const drain = yield* Effect.fork(system.drain("5 seconds"))
      yield* TestClock.adjust("5250 millis")
      expect(yield* Fiber.join(drain)).toBe(1)
      expect((yield* Fiber.join(hanging))._tag).toBe("ActorStopped")
      expect((yield* Fiber.join(queued))._tag).toBe("ActorStopped")
    }).pipe(Effect.provide(rooms())))
}

it("a finalizer that hangs delays a drain by the grace time at most", () =>
  Effect.gen(function* () {
    const client = yield* Room.client
    const system = yield* ActorSystem.ActorSystem
    yield* client.ask("a").Ping()
    const drain = yield* Effect.fork(system.drain("5 seconds"))
    yield* TestClock.adjust("250 millis")
    expect(yield* Fiber.join(drain)).toBe(0)
  }).pipe(Effect.provide(rooms([], Effect.never, ActorSystem.layerLocal))))

it("who waits for a late reply of an actor that moves to another node is told to try again", () =>
  Effect.gen(function* () {
    const { disown, ...system } = yield* ActorSystem.make({ drainTimeout: 0, grace: 0 })
    yield* Effect.gen(function* () {
      yield* Layer.build(Mover.toLayer(() => Effect.succeed({ Reply: () => Actor.later(Effect.never) })))
      const waiting = yield* Effect.fork((yield* Mover.client).ask("a").Reply())
      yield* TestClock.adjust("1 millis")
      const moving = yield* Effect.fork(disown(Mover.name, () => false, 0))
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(moving)
      expect(yield* Effect.flip(Fiber.join(waiting))).toMatchObject({ _tag: "ActorStopped", retryAfterMillis: 0 })
    }).pipe(Effect.provideService(ActorSystem.ActorSystem, system))
  }))
