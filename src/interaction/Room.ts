import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Actor from "../actor/Actor.ts"
import { Broadcast } from "../broadcast/Broadcast.ts"
import { Tags } from "../cache/Tags.ts"
import type { Message, MessageRow, MessageState } from "../communication/Message.ts"
import { columns as messageColumns, fromRow as messageFromRow } from "../communication/Message.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import * as Ids from "../domain/Ids.ts"
import { type Conflict, type DatabaseUnavailable, InteractionEnded, invalid, NotFound } from "../errors.ts"
import * as CacheTags from "../graphql/CacheTags.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { MessageJson, NumberedEvent } from "./Event.ts"
import { messageFromJson, messageToJson, topic } from "./Event.ts"
import { bodyHash, EventLog } from "./EventLog.ts"
import type { EndReason } from "./Interaction.ts"
import { Interactions } from "./Interactions.ts"
import * as Journal from "./Journal.ts"
import { ReadMarks } from "./ReadMarks.ts"
import * as Typing from "./Typing.ts"

const notFound = new NotFound({ what: "Interaction" })

/** What the first message of an activation loads. */
interface Loaded {
  readonly journal: Journal.Journal
  /** How far each participant has read. */
  readonly readSeq: Map<string, number>
}

/** A message to write. */
export interface Send {
  readonly userId: Ids.UserId
  readonly clientKey: string
  readonly body: string
  readonly state: "VISIBLE" | "HELD"
}

const messageOf = (written: Journal.Written): Message => {
  if (written._tag === "Known") return written.message
  return messageFromJson((written.events[0] as Extract<NumberedEvent, { message: MessageJson }>).message)
}

/** Only a draft with a key can meet a Conflict. */
const withoutKey = <A>(
  effect: Effect.Effect<A, Journal.JournalError>
): Effect.Effect<A, Exclude<Journal.JournalError, Conflict>> => Effect.catchTag(effect, "Conflict", Effect.die)

/** Loads on first use and not before: the database's absence is then the answer to a message and no crash. */
const loader = (interactionId: Ids.InteractionId) =>
  Effect.gen(function* () {
    const log = yield* EventLog
    const interactions = yield* Interactions
    let loaded: Loaded | undefined
    const load: Effect.Effect<Loaded, NotFound | DatabaseUnavailable> = Effect.gen(function* () {
      const { interaction, participants } = yield* interactions.load(interactionId)
      loaded = {
        journal: Journal.make(log, {
          interactionId,
          lastSeq: interaction.lastSeq,
          ended: interaction.state === "ENDED"
        }),
        readSeq: new Map(participants.map(({ lastReadSeq, userId }) => [userId, lastReadSeq]))
      }
      return loaded
    })
    const anyone = Effect.suspend(() => (loaded === undefined ? load : Effect.succeed(loaded)))
    const participant = (userId: Ids.UserId) =>
      Effect.filterOrFail(
        anyone,
        ({ readSeq }) => readSeq.has(userId),
        () => notFound
      )
    return { anyone, participant }
  })

const isoNow = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis).toISOString())

/** Appends the end; an end that is there already is as good. */
const finish = (interactionId: Ids.InteractionId, { journal }: Loaded, reason: EndReason, leaver?: Ids.UserId) =>
  Effect.gen(function* () {
    if (journal.ended()) return undefined
    const at = yield* isoNow
    const ended = (seq: number): NumberedEvent => ({ _tag: "InteractionEnded", seq, at, interactionId, reason })
    const written = yield* journal.append({
      size: leaver === undefined ? 1 : 2,
      onlyWhileActive: true,
      events: (seq) =>
        leaver === undefined ? [ended(seq)] : [{ _tag: "ParticipantLeft", seq, at, userId: leaver }, ended(seq + 1)]
    })
    return Actor.later(
      withoutKey(written).pipe(
        Effect.zipRight(Metric.increment(Metrics.series(Metrics.interactionsEnded, reason))),
        Effect.catchTag("InteractionEnded", () => Effect.void)
      )
    )
  }).pipe(withoutKey)

/** The behaviour of one interaction while it is active. */
export const make = (interactionId: Ids.InteractionId) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const interactions = yield* Interactions
    const marks = yield* ReadMarks
    const broadcast = yield* Broadcast
    const tags = yield* Tags
    const loaded = yield* loader(interactionId)
    const typing = yield* Typing.make((userId, typing) =>
      broadcast.publish(topic(interactionId), { _tag: "Typing", userId, typing })
    )

    /** When the last message came in that may not be committed yet. */
    let sentMillis = 0

    const send = ({ body, clientKey, state, userId }: Send) =>
      Effect.gen(function* () {
        const { journal } = yield* loaded.participant(userId)
        const id = yield* Ids.make(Ids.MessageId)
        sentMillis = yield* Clock.currentTimeMillis
        const at = new Date(sentMillis).toISOString()
        const message = { id, interactionId, senderId: userId, body, state, createdAt: at, clientKey }
        const written = yield* journal.append({
          size: 1,
          onlyWhileActive: true,
          key: { senderId: userId, clientKey, bodyHash: bodyHash(body) },
          events: (seq) => [{ _tag: "MessageAdded", seq, at, message: { ...message, seq } }]
        })
        yield* typing.set(userId, false)
        return Actor.later(
          Effect.tap(Effect.map(written, messageOf), (stored) =>
            Metric.increment(stored.id === id ? Metrics.messagesAcknowledged : Metrics.messagesResent)
          )
        )
      })

    const change = (wanted: { readonly messageId: Ids.MessageId; readonly state: MessageState }) =>
      Effect.gen(function* () {
        const { journal } = yield* loaded.anyone
        const [row] = yield* orUnavailable(sql<MessageRow>`
select ${messageColumns(sql)} from messages m
where m.id = ${wanted.messageId}::uuid and m.interaction_id = ${interactionId}::uuid`)
        if (row === undefined) return yield* new NotFound({ what: "Message" })
        const message = messageFromRow(row)
        const forgotten = tags.invalidate(CacheTags.messages(interactionId))
        // Whoever asks again may do so because the process ended before it had told the caches.
        if (message.state === wanted.state) return Actor.later(Effect.as(forgotten, message))
        const at = yield* isoNow
        const changed = { ...messageToJson(message), state: wanted.state }
        const written = yield* withoutKey(
          journal.append({
            size: 1,
            onlyWhileActive: false,
            events: (seq) => [{ _tag: "MessageChanged", seq, at, message: changed }]
          })
        )
        return Actor.later(Effect.zipLeft(Effect.map(withoutKey(written), messageOf), forgotten))
      })

    const setTyping = (userId: Ids.UserId, isTyping: boolean) =>
      Effect.gen(function* () {
        const { journal } = yield* loaded.participant(userId)
        if (journal.ended()) return yield* new InteractionEnded()
        yield* typing.set(userId, isTyping)
      })

    const markRead = (userId: Ids.UserId, seq: number) =>
      Effect.gen(function* () {
        const { journal, readSeq } = yield* loaded.participant(userId)
        if (seq < 0) return yield* invalid("seq", "is below 0")
        if (seq > journal.lastSeq()) {
          // Another process may have written what the reader has seen.
          const found = (yield* interactions.byIds([interactionId])).get(interactionId)
          if (seq > (found?.lastSeq ?? 0)) return yield* invalid("seq", "is above the newest event")
        }
        if (seq <= (readSeq.get(userId) ?? 0)) return undefined
        return Actor.later(
          Effect.map(marks.write({ interactionId, userId, seq }), () => {
            readSeq.set(userId, Math.max(seq, readSeq.get(userId) ?? 0))
          })
        )
      })

    /** The end, or the time at which nobody will have written for so long, if nobody does. */
    const expire = (idle: Duration.Duration) =>
      Effect.gen(function* () {
        const room = yield* loaded.anyone
        if (room.journal.ended()) return undefined
        const written = (yield* interactions.quietSince(interactionId)).getTime()
        const due = Math.max(written, sentMillis) + Duration.toMillis(idle)
        if (due > (yield* Clock.currentTimeMillis)) return new Date(due)
        return yield* finish(interactionId, room, "TIMEOUT")
      })

    return {
      send,
      change,
      leave: (userId: Ids.UserId) =>
        Effect.flatMap(loaded.participant(userId), (room) => finish(interactionId, room, "LEFT", userId)),
      expire,
      end: (reason: EndReason) => Effect.flatMap(loaded.anyone, (room) => finish(interactionId, room, reason)),
      setTyping,
      markRead
    }
  })
