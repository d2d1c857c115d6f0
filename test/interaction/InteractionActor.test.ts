import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { Conflict, InteractionEnded, invalid, NotFound } from "../../src/errors.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { InteractionActor } from "../../src/interaction/InteractionActor.ts"
import { Interactions } from "../../src/interaction/Interactions.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import * as Talk from "./Talk.ts"

const layer = Talk.layerProcess.pipe(Layer.provideMerge(Layer.merge(Postgres.layerDatabase, Broadcast.layerLocal)))

const send = (userId: Ids.UserId, clientKey: string, body: string) =>
  ({ userId, clientKey, body, state: "VISIBLE" }) as const

withLayer("an interaction", layer, (it) => {
  it("numbers what is said from 1 without gaps and has stored it when it answers", () =>
    Effect.gen(function* () {
      const { ada, bob, id } = yield* Talk.between()
      const actor = (yield* InteractionActor.client).ask(id)
      const sent = yield* Effect.all(
        Array.from({ length: 20 }, (_, n) => actor.Send(send(n % 2 === 0 ? ada : bob, `k${n}`, `message ${n}`))),
        { concurrency: "unbounded" }
      )
      expect(sent.map(({ seq }) => seq)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1))
      const events = yield* (yield* Interactions).events(id, 0)
      expect(events.map(({ seq }) => seq)).toEqual(sent.map(({ seq }) => seq))
      expect(events.map((event) => "message" in event && event.message.body)).toEqual(sent.map(({ body }) => body))
    }))

  it("answers a second send of the same key with the first message, and Conflict to another body", () =>
    Effect.gen(function* () {
      const { ada, bob, id } = yield* Talk.between()
      const actor = (yield* InteractionActor.client).ask(id)
      const [first, same] = yield* Effect.all(
        [actor.Send(send(ada, "k", "hello")), actor.Send(send(ada, "k", "hello"))],
        {
          concurrency: "unbounded"
        }
      )
      expect(same).toEqual(first)
      expect(yield* actor.Send(send(ada, "k", "hello"))).toEqual(first)
      expect(yield* Effect.flip(actor.Send(send(ada, "k", "hallo")))).toBeInstanceOf(Conflict)
      expect((yield* actor.Send(send(bob, "k", "hallo"))).seq).toBe(2)
    }))

  it("is not there for whoever takes no part", () =>
    Effect.gen(function* () {
      const { id } = yield* Talk.between()
      const stranger = yield* Talk.person
      const client = yield* InteractionActor.client
      const nowhere = client.ask(yield* Ids.make(Ids.InteractionId))
      const attempts: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        client.ask(id).Send(send(stranger, "k", "hello")),
        client.ask(id).Leave({ userId: stranger }),
        client.ask(id).Typing({ userId: stranger, typing: true }),
        client.ask(id).MarkRead({ userId: stranger, seq: 0 }),
        nowhere.Send(send(stranger, "k", "hello")),
        nowhere.End({ reason: "MODERATED" })
      ]
      for (const attempt of attempts) {
        expect(yield* Effect.either(attempt)).toEqual(Either.left(new NotFound({ what: "Interaction" })))
      }
    }))

  it("ends for both when one leaves, once, and takes no more messages", () =>
    Effect.gen(function* () {
      const { ada, bob, id } = yield* Talk.between()
      const actor = (yield* InteractionActor.client).ask(id)
      const first = yield* actor.Send(send(ada, "k", "hello"))
      yield* Effect.all(
        [actor.Leave({ userId: bob }), actor.Leave({ userId: ada }), actor.End({ reason: "TIMEOUT" })],
        {
          concurrency: "unbounded"
        }
      )
      const interactions = yield* Interactions
      const tags = (yield* interactions.events(id, 0)).map(({ _tag }) => _tag)
      expect(tags).toEqual(["MessageAdded", "ParticipantLeft", "InteractionEnded"])
      const found = yield* interactions.find(id, ada)
      expect([found.state, found.endReason, found.lastSeq]).toEqual(["ENDED", "LEFT", 3])
      const [left] = ((yield* interactions.details([id], null)).get(id)?.participants ?? []).filter(
        ({ userId }) => userId === bob
      )
      expect(left?.leftAt).toBeInstanceOf(Date)
      expect(yield* Effect.flip(actor.Send(send(ada, "k2", "still here?")))).toBeInstanceOf(InteractionEnded)
      expect(yield* actor.Send(send(ada, "k", "hello"))).toEqual(first)
    }))

  it("removes and restores a message with a number of its own, after the end too", () =>
    Effect.gen(function* () {
      const { ada, id } = yield* Talk.between()
      const actor = (yield* InteractionActor.client).ask(id)
      const { id: messageId } = yield* actor.Send(send(ada, "k", "hello"))
      expect((yield* actor.Change({ messageId, state: "REMOVED" })).state).toBe("REMOVED")
      yield* actor.Change({ messageId, state: "REMOVED" })
      yield* actor.End({ reason: "MODERATED" })
      expect((yield* actor.Change({ messageId, state: "VISIBLE" })).state).toBe("VISIBLE")
      const tags = (yield* (yield* Interactions).events(id, 0)).map(({ _tag, seq }) => `${seq} ${_tag}`)
      expect(tags).toEqual(["1 MessageAdded", "2 MessageChanged", "3 InteractionEnded", "4 MessageChanged"])
    }))

  it("remembers how far each has read; it never falls and never passes the newest event", () =>
    Effect.gen(function* () {
      const { ada, bob, id } = yield* Talk.between()
      const interactions = yield* Interactions
      const actor = (yield* InteractionActor.client).ask(id)
      for (const n of [1, 2, 3]) yield* actor.Send(send(ada, `k${n}`, "hello"))
      const unread = Effect.map(interactions.details([id], bob), (found) => found.get(id)?.unread)
      expect(yield* unread).toBe(3)
      yield* Effect.all([actor.MarkRead({ userId: bob, seq: 2 }), actor.MarkRead({ userId: bob, seq: 1 })], {
        concurrency: "unbounded"
      })
      expect(yield* unread).toBe(1)
      yield* actor.MarkRead({ userId: bob, seq: 1 })
      expect(yield* unread).toBe(1)
      expect(yield* interactions.unreadTotal(bob)).toBe(1)
      expect(yield* interactions.unreadTotal(ada)).toBe(0)
      const refused = yield* Effect.flip(actor.MarkRead({ userId: bob, seq: 4 }))
      expect(refused).toEqual(invalid("seq", "is above the newest event"))
    }))
})
