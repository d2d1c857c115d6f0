import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import type * as Supervision from "../../src/actor/Supervision.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { it } from "../kit/effect.ts"

const silent = Logger.remove(Logger.defaultLogger)

const bomb = (supervision: Supervision.Options, starts: Array<string> = []) => {
  const Bomb = Actor.make("Bomb", {
    protocol: [
      Rpc.make("Count", { success: Schema.Int }),
      Rpc.make("Boom", { payload: { secret: Schema.String } }),
      Rpc.make("BoomLater"),
      Rpc.make("Wait", { payload: { millis: Schema.Int }, success: Schema.Int })
    ],
    supervision,
    idle: "1 minute"
  })
  const layer = Bomb.toLayer(({ id }) =>
    Effect.gen(function* () {
      starts.push(`start ${id}`)
      yield* Effect.addFinalizer((exit) => Effect.sync(() => starts.push(`end ${id} ${exit._tag}`)))
      let n = 0
      return {
        Count: () => Effect.sync(() => ++n),
        Boom: () => Effect.die(new Error("boom")),
        BoomLater: () => Actor.later(Effect.zipRight(Effect.sleep("10 millis"), Effect.die(new Error("late boom")))),
        Wait: ({ millis }) => Actor.later(Effect.as(Effect.sleep(millis), n))
      }
    })
  )
  return { Bomb, layer: layer.pipe(Layer.provideMerge(ActorSystem.layerTest), Layer.provide(silent)) }
}

const restarting = { strategy: "restart", intensity: 3, window: "10 seconds" } as const

it("restart begins again from a fresh state, with the old scope closed first", () => {
  const seen: Array<string> = []
  const { Bomb, layer } = bomb(restarting, seen)
  return Effect.gen(function* () {
    const client = yield* Bomb.client
    expect(yield* client.ask("a").Count()).toBe(1)
    expect((yield* Effect.flip(client.ask("a").Boom({ secret: "x" })))._tag).toBe("ActorCrashed")
    expect(yield* client.ask("a").Count()).toBe(1)
    expect(seen).toEqual(["start a", "end a Failure", "start a"])
  }).pipe(Effect.provide(layer))
})

it("resume keeps the state", () => {
  const { Bomb, layer } = bomb({ ...restarting, strategy: "resume" })
  return Effect.gen(function* () {
    const client = yield* Bomb.client
    yield* client.ask("a").Count()
    yield* Effect.flip(client.ask("a").Boom({ secret: "x" }))
    expect(yield* client.ask("a").Count()).toBe(2)
  }).pipe(Effect.provide(layer))
})

it("stop ends at the first failure and refuses until the window has passed", () => {
  const { Bomb, layer } = bomb({ ...restarting, strategy: "stop" })
  return Effect.gen(function* () {
    const client = yield* Bomb.client
    yield* client.ask("a").Count()
    yield* Effect.flip(client.ask("a").Boom({ secret: "x" }))
    expect(yield* Effect.flip(client.ask("a").Count())).toMatchObject({
      _tag: "ActorStopped",
      retryAfterMillis: 10_000
    })
    yield* TestClock.adjust("10 seconds")
    expect(yield* client.ask("a").Count()).toBe(1)
  }).pipe(Effect.provide(layer))
})

it("escalate stops the actor and tells the program", () => {
  const { Bomb, layer } = bomb({ ...restarting, strategy: "escalate" })
  return Effect.gen(function* () {
    const client = yield* Bomb.client
    const system = yield* ActorSystem.ActorSystem
    yield* Effect.flip(client.ask("a").Boom({ secret: "x" }))
    expect((yield* system.escalated).actor).toBe("Bomb")
    expect((yield* Effect.flip(client.ask("a").Count()))._tag).toBe("ActorStopped")
  }).pipe(Effect.provide(layer))
})

it("more failures than the intensity leave a tombstone, not a fresh count", () => {
  const seen: Array<string> = []
  const { Bomb, layer } = bomb(restarting, seen)
  return Effect.gen(function* () {
    const client = yield* Bomb.client
    const booms = yield* Effect.fork(
      Effect.forEach([1, 2, 3, 4], () => Effect.flip(client.ask("a").Boom({ secret: "x" })))
    )
    yield* TestClock.adjust("1 second")
    expect((yield* Fiber.join(booms)).map((failure) => failure._tag)).toEqual(Array(4).fill("ActorCrashed"))
    const refused = yield* Effect.flip(client.ask("a").Count())
    expect(refused._tag).toBe("ActorStopped")
    expect(seen.filter((line) => line.startsWith("start")).length).toBe(4)
    expect(yield* client.ask("b").Count()).toBe(1)
    yield* TestClock.adjust("9 seconds")
    expect(yield* client.ask("a").Count()).toBe(1)
    yield* Effect.flip(client.ask("a").Boom({ secret: "x" }))
    yield* Effect.fork(TestClock.adjust("1 second"))
    expect((yield* Effect.exit(client.ask("a").Count()))._tag).toBe("Success")
  }).pipe(Effect.provide(layer))
})

it("a passivated actor keeps the failures of its window", () => {
  const { Bomb, layer } = bomb({ strategy: "restart", intensity: 1, window: "10 minutes" })
  return Effect.gen(function* () {
    const client = yield* Bomb.client
    yield* Effect.flip(client.ask("a").Boom({ secret: "x" }))
    yield* client.ask("a").Count()
    yield* TestClock.adjust("1 minute")
    expect(yield* client.isActive("a")).toBe(false)
    yield* Effect.flip(client.ask("a").Boom({ secret: "x" }))
    expect((yield* Effect.flip(client.ask("a").Count()))._tag).toBe("ActorStopped")
  }).pipe(Effect.provide(layer))
})

it("a poison message is answered at once and holds up nobody", () => {
  const { Bomb, layer } = bomb(restarting)
  return Effect.gen(function* () {
    const client = yield* Bomb.client
    const poison = yield* Effect.fork(Effect.flip(client.ask("a").Boom({ secret: "x" })))
    const other = yield* Effect.fork(client.ask("a").Count())
    expect((yield* Fiber.join(poison))._tag).toBe("ActorCrashed")
    expect(yield* Fiber.join(other)).toBe(1)
  }).pipe(Effect.provide(layer))
})

it("a dead letter shows the shape of its payload and never the payload", () => {
  const { Bomb, layer } = bomb(restarting)
  return Effect.gen(function* () {
    const client = yield* Bomb.client
    const system = yield* ActorSystem.ActorSystem
    const counted = Metric.value(Metrics.series(Metrics.deadLetters, "defect"))
    const before = yield* counted
    yield* Effect.flip(client.ask("a").Boom({ secret: "hunter2" }))
    expect((yield* counted).count).toBe(before.count + 1)
    const [letter] = yield* system.deadLetters
    expect(letter).toMatchObject({ actor: "Bomb", id: "a", tag: "Boom", payloadShape: "{secret: string}" })
    expect(JSON.stringify(letter)).not.toContain("hunter2")
  }).pipe(Effect.provide(layer))
})

it("a defect in a later reply restarts the actor and crashes the replies that are open", () => {
  const { Bomb, layer } = bomb(restarting)
  return Effect.gen(function* () {
    const client = yield* Bomb.client
    yield* client.ask("a").Count()
    const open = yield* Effect.fork(Effect.flip(client.ask("a").Wait({ millis: 1_000 })))
    const boom = yield* Effect.fork(Effect.flip(client.ask("a").BoomLater()))
    yield* TestClock.adjust("10 millis")
    expect((yield* Fiber.join(boom))._tag).toBe("ActorCrashed")
    expect((yield* Fiber.join(open))._tag).toBe("ActorCrashed")
    expect(yield* client.ask("a").Count()).toBe(1)
  }).pipe(Effect.provide(layer))
})

it("an activation that fails refuses what waits, and the next try is later", () => {
  let broken = true
  const Broken = Actor.make("Broken", { protocol: [Rpc.make("Ping", { success: Schema.String })] })
  const layer = Broken.toLayer(() =>
    broken ? Effect.fail("no database") : Effect.succeed({ Ping: () => Effect.succeed("pong") })
  ).pipe(Layer.provideMerge(ActorSystem.layerTest), Layer.provide(silent))
  return Effect.gen(function* () {
    const client = yield* Broken.client
    expect(yield* Effect.flip(client.ask("a").Ping())).toMatchObject({ _tag: "ActorStopped", retryAfterMillis: 50 })
    expect((yield* Effect.flip(client.ask("a").Ping()))._tag).toBe("ActorStopped")
    broken = false
    yield* TestClock.adjust("50 millis")
    expect(yield* client.ask("a").Ping()).toBe("pong")
  }).pipe(Effect.provide(layer))
})
