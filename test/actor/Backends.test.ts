import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import { Conflict } from "../../src/errors.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import { join, patiently, until } from "./nodes.ts"

const Probe = Actor.make("Probe", {
  protocol: [
    Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int, error: Conflict }),
    Rpc.make("Born", { success: Schema.Int }),
    Rpc.make("At", { payload: { at: Schema.Date }, success: Schema.Date }),
    Rpc.make("Boom"),
    Rpc.make("Sleep", { payload: { millis: Schema.Int } }),
    Rpc.make("Later", { payload: { millis: Schema.Int }, success: Schema.Int }),
    Rpc.make("Count", { payload: { to: Schema.Int }, success: Schema.Int, error: Conflict, stream: true })
  ],
  mailbox: { capacity: 2 },
  supervision: { strategy: "restart", intensity: 2, window: "10 seconds", backoff: { initial: 1, max: 1 } },
  idle: "300 millis",
  askTimeout: "1 second"
})

const probes = Layer.unwrapEffect(
  Effect.sync(() => {
    let born = 0
    return Probe.toLayer(() =>
      Effect.sync(() => {
        let n = 0
        const birth = ++born
        return {
          Add: ({ amount }) =>
            amount < 0 ? Effect.fail(new Conflict({ message: "negative" })) : Effect.sync(() => (n += amount)),
          Born: () => Effect.succeed(birth),
          At: ({ at }) => Effect.succeed(new Date(at.getTime() + 1_000)),
          Boom: () => Effect.dieMessage("boom"),
          Sleep: ({ millis }) => Effect.sleep(millis),
          Later: ({ millis }) => Effect.succeed(Actor.later(Effect.delay(Effect.succeed(millis), millis))),
          Count: ({ to }) => (to < 0 ? Stream.fail(new Conflict({ message: "negative" })) : Stream.range(1, to))
        }
      })
    )
  })
)

const local = probes.pipe(Layer.provideMerge(ActorSystem.layerTest), Layer.provide(Logger.remove(Logger.defaultLogger)))

/** What is asked lives on another node: the one whose system it is serves nothing. */
const cluster = Layer.scopedContext(
  Effect.gen(function* () {
    const database = Layer.succeedContext(yield* Layer.build(Postgres.layerDatabase))
    const system = { drainTimeout: 0, grace: 0 }
    yield* join(probes, { database, system })
    const { context } = yield* join(Layer.empty, { database, system, groups: [] })
    const probe = yield* Effect.provide(Probe.client, context)
    yield* patiently(probe.ask("ready").Born())
    return context
  })
).pipe(
  Layer.map((context) => Context.pick(ActorSystem.ActorSystem)(context)),
  Layer.orDie
)

const suite = (name: string, layer: Layer.Layer<ActorSystem.ActorSystem>) =>
  withLayer(name, layer, (it) => {
    it("a message is answered, one after the other, by the one actor of that id", () =>
      Effect.gen(function* () {
        const probe = yield* Probe.client
        const adds = Array.from({ length: 3 }, () => probe.ask("a").Add({ amount: 1 }))
        expect(yield* Effect.all(adds, { concurrency: 2 })).toEqual([1, 2, 3])
        expect(yield* probe.ask("b").Add({ amount: 1 })).toBe(1)
      }))

    it("what travels is what was sent, whatever its encoding", () =>
      Effect.gen(function* () {
        const probe = yield* Probe.client
        expect(yield* probe.ask("at").At({ at: new Date(0) })).toEqual(new Date(1_000))
      }))

    it("a failure of the protocol arrives as itself", () =>
      Effect.gen(function* () {
        const probe = yield* Probe.client
        const failure = yield* Effect.flip(probe.ask("a").Add({ amount: -1 }))
        expect(failure).toBeInstanceOf(Conflict)
      }))

    it("a tell ends when the mailbox has it", () =>
      Effect.gen(function* () {
        const probe = yield* Probe.client
        yield* probe.tell("told").Sleep({ millis: 20 })
        yield* probe.tell("told").Add({ amount: 5 })
        expect(yield* probe.ask("told").Add({ amount: 0 })).toBe(5)
      }))

    it("a streamed reply arrives whole, and so does its failure", () =>
      Effect.gen(function* () {
        const probe = yield* Probe.client
        const counted = yield* Stream.runCollect(probe.ask("s").Count({ to: 200 }))
        expect(Chunk.size(counted)).toBe(200)
        expect(Chunk.unsafeLast(counted)).toBe(200)
        const failure = yield* Effect.flip(Stream.runDrain(probe.ask("s").Count({ to: -1 })))
        expect(failure._tag).toBe("Conflict")
      }))

    it("a full mailbox refuses, and takes messages again when it has room", () =>
      Effect.gen(function* () {
        const probe = yield* Probe.client
        yield* probe.tell("full").Sleep({ millis: 400 })
        const adds = Array.from({ length: 5 }, () => Effect.either(probe.ask("full").Add({ amount: 1 })))
        const answers = yield* Effect.all(adds, { concurrency: "unbounded" })
        const refused = answers.flatMap((answer) => (answer._tag === "Left" ? [answer.left._tag] : []))
        expect(refused.length).toBeGreaterThanOrEqual(2)
        expect(new Set(refused)).toEqual(new Set(["MailboxFull"]))
        expect(yield* probe.ask("full").Add({ amount: 0 })).toBe(5 - refused.length)
      }))

    it("an asker waits as long as the actor says, and then knows that it did", () =>
      Effect.gen(function* () {
        const probe = yield* Probe.client
        const failure = yield* Effect.flip(probe.ask("slow").Sleep({ millis: 1_400 }))
        expect(failure).toMatchObject({ _tag: "AskTimeout", timeoutMillis: 1_000 })
      }))

    it("a slow reply delays no other that was asked for at the same time", () =>
      Effect.gen(function* () {
        const probe = yield* Probe.client
        const slow = yield* Effect.fork(probe.ask("later").Later({ millis: 300 }))
        const quick = yield* Effect.fork(probe.ask("quick").Add({ amount: 1 }))
        yield* Fiber.join(quick)
        expect(yield* Fiber.poll(slow)).toMatchObject({ _tag: "None" })
        expect(yield* Fiber.join(slow)).toBe(300)
      }))

    it("a defect is answered at once, the actor starts anew, and after too many it rests", () =>
      Effect.gen(function* () {
        const probe = yield* Probe.client
        yield* probe.ask("boom").Add({ amount: 1 })
        expect((yield* Effect.flip(probe.ask("boom").Boom()))._tag).toBe("ActorCrashed")
        expect(yield* probe.ask("boom").Add({ amount: 1 })).toBe(1)
        expect((yield* Effect.flip(probe.ask("boom").Boom()))._tag).toBe("ActorCrashed")
        expect((yield* Effect.flip(probe.ask("boom").Boom()))._tag).toBe("ActorCrashed")
        expect((yield* Effect.flip(probe.ask("boom").Add({ amount: 1 })))._tag).toBe("ActorStopped")
      }))

    it("asking whether an actor is active does not activate it, and an idle one is put away", () =>
      Effect.gen(function* () {
        const probe = yield* Probe.client
        expect(yield* probe.isActive("idle")).toBe(false)
        expect(yield* probe.isActive("idle")).toBe(false)
        const born = yield* probe.ask("idle").Born()
        expect(yield* probe.isActive("idle")).toBe(true)
        yield* until(probe.isActive("idle"), (active) => !active)
        expect(yield* probe.ask("idle").Born()).toBeGreaterThan(born)
      }))
  })

suite("local", local)
suite("on another node of a cluster", cluster)
