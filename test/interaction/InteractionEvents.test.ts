import { expect } from "bun:test"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import { invalid, NotFound } from "../../src/errors.ts"
import { InteractionActor } from "../../src/interaction/InteractionActor.ts"
import * as InteractionEvents from "../../src/interaction/InteractionEvents.ts"
import { replayPageMax } from "../../src/interaction/Interactions.ts"
import { withLayer } from "../kit/effect.ts"
import { streamOf } from "../kit/feed.ts"
import * as Postgres from "../kit/Postgres.ts"
import * as Talk from "./Talk.ts"

const layer = Talk.layerProcess.pipe(Layer.provideMerge(Layer.merge(Postgres.layerDatabase, Broadcast.layerLocal)))

const told = (event: InteractionEvents.InteractionEvent): string =>
  "seq" in event ? `${event._tag} ${event.seq}` : `${event._tag} ${event.typing}`

const room = Effect.gen(function* () {
  const talk = yield* Talk.between()
  const actor = (yield* InteractionActor.client).ask(talk.id)
  const subscribe = yield* InteractionEvents.make
  const say = (n: number) => actor.Send({ userId: talk.ada, clientKey: `k${n}`, body: `number ${n}`, state: "VISIBLE" })
  const listen = (viewerId: Talk.Person, afterSeq: number) =>
    streamOf((wake) => subscribe({ interactionId: talk.id, viewerId, afterSeq }, wake))
  return { ...talk, actor, say, listen }
})

withLayer("the events of an interaction", layer, (it) => {
  it("are what was missed, CaughtUp, and then what happens, to the end", () =>
    Effect.gen(function* () {
      const { actor, ada, bob, listen, say } = yield* room
      for (const n of [1, 2, 3]) yield* say(n)
      const stream = yield* listen(bob, 1)
      yield* say(4)
      yield* actor.Typing({ userId: ada, typing: true })
      yield* actor.Typing({ userId: bob, typing: true })
      yield* actor.MarkRead({ userId: bob, seq: 4 })
      yield* actor.Leave({ userId: ada })
      expect(Chunk.toReadonlyArray(yield* Stream.runCollect(stream)).map(told)).toEqual([
        "MessageAdded 2",
        "MessageAdded 3",
        // What came between the subscription and its first read is part of the replay.
        "MessageAdded 4",
        "ParticipantLeft 5",
        "InteractionEnded 6",
        "CaughtUp 6"
      ])
    }))

  it("show the other's typing and reading, and not one's own typing", () =>
    Effect.gen(function* () {
      const { actor, ada, bob, listen, say } = yield* room
      yield* say(1)
      const caughtUp = yield* Deferred.make<void>()
      const stream = Stream.tap(yield* listen(bob, 1), () => Deferred.succeed(caughtUp, undefined))
      const live = yield* Effect.fork(Stream.runCollect(Stream.take(stream, 3)))
      yield* Deferred.await(caughtUp)
      yield* actor.Typing({ userId: bob, typing: true })
      yield* actor.Typing({ userId: ada, typing: true })
      yield* actor.MarkRead({ userId: bob, seq: 1 })
      expect(Chunk.toReadonlyArray(yield* live).map(told)).toEqual(["CaughtUp 1", "Typing true", "ReadReceipt 1"])
    }))

  it("are replayed in pages, however many were missed", () =>
    Effect.gen(function* () {
      const { bob, listen, say } = yield* room
      const many = replayPageMax + 10
      yield* Effect.forEach(Array.from({ length: many }), (_, n) => say(n + 1), { concurrency: 100 })
      const stream = yield* listen(bob, 0)
      const seen = Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(stream, many + 1))).map(told)
      expect(seen).toEqual([...Array.from({ length: many }, (_, n) => `MessageAdded ${n + 1}`), `CaughtUp ${many}`])
    }))

  it("are not told to strangers, nor from numbers that do not exist", () =>
    Effect.gen(function* () {
      const { bob, listen } = yield* room
      expect(yield* Effect.flip(listen(yield* Talk.person, 0))).toEqual(new NotFound({ what: "Interaction" }))
      expect(yield* Effect.flip(listen(bob, -1))).toEqual(invalid("afterSeq", "is below 0"))
      expect(yield* Effect.flip(listen(bob, 1))).toEqual(invalid("afterSeq", "is above the newest event"))
    }))
})
