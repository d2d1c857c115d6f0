import * as Rpc from "@effect/rpc/Rpc"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as Actor from "../actor/Actor.ts"
import { Broadcast } from "../broadcast/Broadcast.ts"
import type { MessageRow } from "../communication/Message.ts"
import { columns as messageColumns, fromRow as messageFromRow, Message, MessageState } from "../communication/Message.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import * as Ids from "../domain/Ids.ts"
import {
  Conflict,
  DatabaseUnavailable,
  InteractionEnded,
  invalid,
  NotFound,
  Overloaded,
  ValidationFailed
} from "../errors.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { EventSignal, MessageJson, NumberedEvent } from "./Event.ts"
import { messageFromJson, messageToJson, topic } from "./Event.ts"
import { bodyHash, EventLog } from "./EventLog.ts"
import { EndReason } from "./Interaction.ts"
import { Interactions } from "./Interactions.ts"
import * as Journal from "./Journal.ts"
import { ReadMarks } from "./ReadMarks.ts"
import * as Typing from "./Typing.ts"

const Failures = Schema.Union(NotFound, InteractionEnded, Overloaded, DatabaseUnavailable)

/**
 * One interaction: the one place that numbers its events. Its id is the interaction's UUID. Who is no participant gets
 * NotFound. Replies come after the commit; the next message starts meanwhile.
 */
export const InteractionActor = Actor.make("Interaction", {
  protocol: [
    /** The stored message; the first one again for the same key and body, Conflict for another body. */
    Rpc.make("Send", {
      payload: {
        userId: Ids.UserId,
        clientKey: Schema.String,
        body: Schema.String,
        state: Schema.Literal("VISIBLE", "HELD")
      },
      success: Message,
      error: Schema.Union(Failures, Conflict)
    }),
    /** Moderation removes, releases or restores a message, after the end too. */
    Rpc.make("Change", {
      payload: { messageId: Ids.MessageId, state: MessageState },
      success: Message,
      error: Failures
    }),
    /** A participant leaves, and so the interaction ends (LEFT). Leaving what has ended changes nothing. */
    Rpc.make("Leave", { payload: { userId: Ids.UserId }, error: Failures }),
    /** Ends it for both. Ending what has ended changes nothing. */
    Rpc.make("End", { payload: { reason: EndReason }, error: Failures }),
    Rpc.make("Typing", { payload: { userId: Ids.UserId, typing: Schema.Boolean }, error: Failures }),
    /** ValidationFailed for a number above the newest event. A lower mark than before changes nothing. */
    Rpc.make("MarkRead", {
      payload: { userId: Ids.UserId, seq: Schema.Int },
      error: Schema.Union(Failures, ValidationFailed)
    })
  ],
  mailbox: { capacity: 256, whenFull: "fail" },
  supervision: {
    strategy: "restart",
    intensity: 5,
    window: "10 seconds",
    backoff: { initial: "50 millis", max: "5 seconds" }
  },
  idle: "2 minutes",
  askTimeout: "10 seconds"
})

const notFound = new NotFound({ what: "Interaction" })

/** What one activation knows. */
interface Room {
  readonly journal: Journal.Journal
  /** How far each participant has read. */
  readonly readSeq: Map<string, number>
}

const single = (written: Journal.Written): Message => {
  if (written._tag === "Known") return written.message
  const event = written.events[0]!
  return messageFromJson((event as Extract<NumberedEvent, { message: MessageJson }>).message)
}

const isoNow = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis).toISOString())

/** Starts the actor's behaviour. */
export const layer = InteractionActor.toLayer(({ id }) =>
  Effect.gen(function* () {
    const interactionId = id as Ids.InteractionId
    const sql = yield* SqlClient.SqlClient
    const log = yield* EventLog
    const interactions = yield* Interactions
    const marks = yield* ReadMarks
    const broadcast = yield* Broadcast
    const publish = (event: EventSignal) => broadcast.publish(topic(id), event)
    const typing = yield* Typing.make((userId, typing) => publish({ _tag: "Typing", userId, typing }))
    yield* Effect.acquireRelease(Metric.incrementBy(Metrics.interactionsActive, 1), () =>
      Metric.incrementBy(Metrics.interactionsActive, -1)
    )

    let room: Room | undefined
    const load: Effect.Effect<Room, NotFound | DatabaseUnavailable> = Effect.gen(function* () {
      const found = (yield* interactions.byIds([interactionId])).get(interactionId)
      if (found === undefined) return yield* notFound
      const participants = (yield* interactions.participants([interactionId])).get(interactionId) ?? []
      room = {
        journal: Journal.make(log, { interactionId, lastSeq: found.lastSeq, ended: found.state === "ENDED" }),
        readSeq: new Map(participants.map(({ lastReadSeq, userId }) => [userId, lastReadSeq]))
      }
      return room
    })
    // Loaded by the first message and not by the activation: the database's absence is then that message's answer.
    const opened = Effect.suspend(() => (room === undefined ? load : Effect.succeed(room)))
    const openedFor = (userId: Ids.UserId) =>
      Effect.filterOrFail(
        opened,
        ({ readSeq }) => readSeq.has(userId),
        () => notFound
      )

    const end = (room: Room, reason: EndReason, leaver: Ids.UserId | undefined) =>
      Effect.gen(function* () {
        if (room.journal.ended()) return undefined
        const at = yield* isoNow
        const written = yield* room.journal.append({
          size: leaver === undefined ? 1 : 2,
          onlyWhileActive: true,
          events: (seq) =>
            leaver === undefined
              ? [{ _tag: "InteractionEnded", seq, at, reason }]
              : [
                  { _tag: "ParticipantLeft", seq, at, userId: leaver },
                  { _tag: "InteractionEnded", seq: seq + 1, at, reason }
                ]
        })
        return Actor.later(
          written.pipe(
            Effect.zipRight(Metric.increment(Metrics.series(Metrics.interactionsEnded, reason))),
            Effect.catchTag("InteractionEnded", () => Effect.void),
            Effect.catchTag("Conflict", Effect.die)
          )
        )
      }).pipe(
        Effect.catchTag("InteractionEnded", () => Effect.succeed(undefined)),
        Effect.catchTag("Conflict", Effect.die)
      )

    return {
      Send: ({ body, clientKey, state, userId }) =>
        Effect.gen(function* () {
          const { journal } = yield* openedFor(userId)
          const messageId = yield* Ids.make(Ids.MessageId)
          const at = yield* isoNow
          const written = yield* journal.append({
            size: 1,
            onlyWhileActive: true,
            key: { senderId: userId, clientKey, bodyHash: bodyHash(body) },
            events: (seq) => [
              {
                _tag: "MessageAdded",
                seq,
                at,
                message: { id: messageId, interactionId, seq, senderId: userId, body, state, createdAt: at, clientKey }
              }
            ]
          })
          yield* typing.set(userId, false)
          return Actor.later(
            Effect.tap(Effect.map(written, single), (message) =>
              Metric.increment(message.id === messageId ? Metrics.messagesAcknowledged : Metrics.messagesResent)
            )
          )
        }),

      Change: ({ messageId, state }) =>
        Effect.gen(function* () {
          const { journal } = yield* opened
          const rows = yield* orUnavailable(sql<MessageRow>`
select ${messageColumns(sql)} from messages m where m.id = ${messageId}::uuid and m.interaction_id = ${id}::uuid`)
          if (rows[0] === undefined) return yield* new NotFound({ what: "Message" })
          const message = messageFromRow(rows[0])
          if (message.state === state) return message
          const at = yield* isoNow
          const changed = { ...messageToJson(message), state }
          const written = yield* journal.append({
            size: 1,
            onlyWhileActive: false,
            events: (seq) => [{ _tag: "MessageChanged", seq, at, message: changed }]
          })
          return Actor.later(Effect.catchTag(Effect.map(written, single), "Conflict", Effect.die))
        }).pipe(Effect.catchTag("Conflict", Effect.die)),

      Leave: ({ userId }) => Effect.flatMap(openedFor(userId), (room) => end(room, "LEFT", userId)),
      End: ({ reason }) => Effect.flatMap(opened, (room) => end(room, reason, undefined)),

      Typing: (payload) =>
        Effect.gen(function* () {
          const { journal } = yield* openedFor(payload.userId)
          if (journal.ended()) return yield* new InteractionEnded()
          yield* typing.set(payload.userId, payload.typing)
        }),

      MarkRead: ({ seq, userId }) =>
        Effect.gen(function* () {
          const { journal, readSeq } = yield* openedFor(userId)
          if (seq < 0) return yield* invalid("seq", "is below 0")
          if (seq > journal.lastSeq()) {
            // Another process may have written what the reader has seen.
            const found = (yield* interactions.byIds([interactionId])).get(interactionId)
            if (seq > (found?.lastSeq ?? 0)) return yield* invalid("seq", "is above the newest event")
          }
          if (seq <= (readSeq.get(userId) ?? 0)) return undefined
          return Actor.later(
            Effect.tap(marks.write({ interactionId, userId, seq }), () =>
              Effect.sync(() => readSeq.set(userId, Math.max(seq, readSeq.get(userId) ?? 0)))
            )
          )
        })
    }
  })
)
