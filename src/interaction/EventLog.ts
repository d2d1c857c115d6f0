import { createHash } from "node:crypto"
import * as SqlClient from "@effect/sql/SqlClient"
import type * as SqlError from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Supervised from "../actor/Supervised.ts"
import { Broadcast } from "../broadcast/Broadcast.ts"
import type { Message, MessageRow } from "../communication/Message.ts"
import { columns, fromRow, states } from "../communication/Message.ts"
import { isUnavailable, sqlState } from "../database/SqlErrors.ts"
import { DatabaseUnavailable, Overloaded } from "../errors.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { NumberedEvent } from "./Event.ts"
import { kinds, topic } from "./Event.ts"
import { endReasons } from "./Interaction.ts"

/** Events of one interaction in one commit at most. */
export const eventsPerWriterMax = 64
/** Interactions in one commit at most. */
export const writersPerCommitMax = 256
/** Tries again of a commit that the database rolled back for a collision. */
export const collisionRetriesMax = 3
/** Commits at once: while Postgres writes one, this process works on the answers and the next sends of the other. */
export const commitsAtOnce = 2
/** Turns of the scheduler that a commit waits at most while more becomes ready. */
export const gatherTurnsMax = 32
/** Interactions waiting for a commit at most; beyond that `ready` fails with Overloaded. */
export const writersWaitingMax = 10_000

/** Events of one interaction, numbered from `expectedLastSeq + 1` without gaps. */
export interface Append {
  readonly interactionId: string
  readonly expectedLastSeq: number
  readonly events: ReadonlyArray<NumberedEvent>
  /** Nothing may be written once the interaction has ended. */
  readonly onlyWhileActive: boolean
}

/**
 * Committed: all events are durable. Behind: none was written, because the interaction has moved on or one of the client
 * keys is taken; here is where it stands and the messages stored under those keys. Failed: whether anything was written
 * is unknown.
 */
export type Outcome =
  | { readonly _tag: "Committed" }
  | {
      readonly _tag: "Behind"
      readonly lastSeq: number
      readonly ended: boolean
      readonly gone: boolean
      readonly known: ReadonlyArray<Message>
    }
  | { readonly _tag: "Failed"; readonly cause: Cause.Cause<DatabaseUnavailable> }

/** One interaction's side of the log. Both are synchronous, so that no number is given while another commit is open. */
export interface Writer {
  readonly interactionId: string
  /** What to commit next; called when the statement is put together. undefined: nothing after all. */
  readonly take: (eventsMax: number) => Append | undefined
  /** How that went. True when there is more to take. */
  readonly settle: (outcome: Outcome) => boolean
}

/**
 * Commits the events of all interactions of this process, in groups: one statement writes everything that became ready
 * while the last one ran, so a busy process pays for one commit and not for one each. The database decides: an
 * interaction is written only if it still stands where its writer believes, so two processes never give one number
 * twice. What is committed is then published, in order.
 */
export class EventLog extends Context.Tag("@connect/EventLog")<
  EventLog,
  {
    /** The writer has something to take. Call it once, and again only after `settle` returned false. */
    readonly ready: (writer: Writer) => Effect.Effect<void, Overloaded>
  }
>() {}

interface Taken {
  readonly writer: Writer
  readonly append: Append
}

/** What a client key stands for: another body under the same key is a conflict. */
export const bodyHash = (body: string | null): string =>
  createHash("sha256")
    .update(body ?? "")
    .digest("hex")

const interactionRow = ({ events, expectedLastSeq, interactionId, onlyWhileActive }: Append) => {
  const end = events.find((event) => event._tag === "InteractionEnded")
  return {
    id: interactionId,
    expected: expectedLastSeq,
    next: expectedLastSeq + events.length,
    only_active: onlyWhileActive,
    ended_at: end?.at ?? null,
    reason: end === undefined ? null : endReasons.indexOf(end.reason)
  }
}

const eventRow = (interactionId: string, event: NumberedEvent) => {
  const message = "message" in event ? event.message : undefined
  const added = event._tag === "MessageAdded" ? event.message : undefined
  return {
    interaction_id: interactionId,
    seq: event.seq,
    kind: kinds[event._tag],
    at: event.at,
    message_id: message?.id,
    state: message === undefined ? undefined : states.indexOf(message.state),
    user_id: event._tag === "ParticipantLeft" ? event.userId : added?.senderId,
    client_key: added?.clientKey,
    body: added?.body,
    body_hash: added === undefined ? undefined : bodyHash(added.body)
  }
}

/**
 * The statement takes two texts: JSON is the same for every driver, whatever is inside the strings. Written so that the
 * planner, who knows nothing of their sizes, has no way to compare each row with each: the lookups are lateral, and
 * `in` is asked as a value, which makes it a hash table.
 */
const commit = (sql: SqlClient.SqlClient, appends: ReadonlyArray<Append>) => {
  const interactions = JSON.stringify(appends.map(interactionRow))
  const events = JSON.stringify(
    appends.flatMap(({ events, interactionId }) => events.map((event) => eventRow(interactionId, event)))
  )
  return sql<{ readonly id: string }>`
with wanted as materialized (
  select * from jsonb_to_recordset(${interactions}::text::jsonb) as w
    (id uuid, expected int, next int, only_active boolean, ended_at timestamptz, reason smallint)
), happened as materialized (
  select * from jsonb_to_recordset(${events}::text::jsonb) as h
    (interaction_id uuid, seq int, kind smallint, at timestamptz, message_id uuid, state smallint, user_id uuid,
     client_key text, body text, body_hash text)
), taken as materialized (
  select h.interaction_id from happened h cross join lateral (
    select 1 from messages m
    where m.interaction_id = h.interaction_id and m.sender_id = h.user_id and m.client_key = h.client_key limit 1
  ) as stored where h.kind = 1
), won as (
  update interactions i set
    last_seq = w.next,
    state = case when w.reason is null then i.state else 1 end,
    ended_at = coalesce(w.ended_at, i.ended_at),
    end_reason = coalesce(w.reason, i.end_reason)
  from wanted w
  where i.id = w.id and i.last_seq = w.expected and (i.state = 0 or not w.only_active)
    and w.id not in (select interaction_id from taken)
  returning i.id
), written as materialized (
  select * from happened h where (h.interaction_id in (select id from won)) is true
), said as (
  insert into messages (id, interaction_id, seq, sender_id, client_key, body, body_hash, state, created_at)
  select message_id, interaction_id, seq, user_id, client_key, body, decode(body_hash, 'hex'), state, at
  from written where kind = 1
), changed as (
  update messages m set state = w.state from written w where w.kind = 2 and m.id = w.message_id
), parted as (
  update participants p set left_at = coalesce(p.left_at, w.at) from written w
  where w.kind = 3 and p.interaction_id = w.interaction_id and p.user_id = w.user_id
), logged as (
  insert into events (interaction_id, seq, kind, message_id, user_id, created_at)
  select interaction_id, seq, kind, message_id, user_id, at from written
)
select id from won`
}

/** Where the losers of a commit stand now: one read for all of them. */
const standing = (sql: SqlClient.SqlClient, appends: ReadonlyArray<Append>) =>
  Effect.gen(function* () {
    const ids = JSON.stringify(appends.map((append) => append.interactionId))
    const keys = JSON.stringify(
      appends.flatMap(({ events }) =>
        events.flatMap((event) =>
          event._tag === "MessageAdded"
            ? [{ i: event.message.interactionId, s: event.message.senderId, k: event.message.clientKey }]
            : []
        )
      )
    )
    // The keys first: a message found here is never missing from the standing read after it.
    const known = yield* sql<MessageRow>`
select ${columns(sql)} from messages m join jsonb_to_recordset(${keys}::text::jsonb) as k (i uuid, s uuid, k text)
  on m.interaction_id = k.i and m.sender_id = k.s and m.client_key = k.k`
    const rows = yield* sql<{ readonly id: string; readonly lastSeq: number; readonly state: number }>`
select id, last_seq as "lastSeq", state from interactions
where id in (select value::uuid from jsonb_array_elements_text(${ids}::text::jsonb))`
    return appends.map((append): Outcome => {
      const row = rows.find(({ id }) => id === append.interactionId)
      return {
        _tag: "Behind",
        lastSeq: row?.lastSeq ?? 0,
        ended: row?.state === 1,
        gone: row === undefined,
        known: known.filter((message) => message.interactionId === append.interactionId).map(fromRow)
      }
    })
  })

const committed: Outcome = { _tag: "Committed" }

const outcomes = (sql: SqlClient.SqlClient, appends: ReadonlyArray<Append>) =>
  Effect.gen(function* () {
    const winners = new Set((yield* commit(sql, appends)).map((row) => row.id))
    const losers = appends.filter((append) => !winners.has(append.interactionId))
    if (losers.length === 0) return appends.map(() => committed)
    const behind = yield* standing(sql, losers)
    return appends.map((append) => behind[losers.indexOf(append)] ?? committed)
  })

/** Rolled back by a collision with another process: nothing was written, and the next try usually goes through. */
const isCollision = (cause: Cause.Cause<SqlError.SqlError>): boolean =>
  Option.exists(Cause.failureOption(cause), (error) => sqlState(error)?.startsWith("40") === true)

/**
 * A statement that the database refuses because of one of its rows is tried again with each interaction alone, so that
 * only the one at fault fails.
 */
const attempt = (sql: SqlClient.SqlClient, appends: ReadonlyArray<Append>): Effect.Effect<ReadonlyArray<Outcome>> =>
  outcomes(sql, appends).pipe(
    Effect.sandbox,
    Effect.retry({ times: collisionRetriesMax, while: isCollision }),
    Effect.catchAll((cause): Effect.Effect<ReadonlyArray<Outcome>> => {
      const error = Option.getOrUndefined(Cause.failureOption(cause))
      if (error !== undefined && isUnavailable(error)) {
        const failed = Cause.fail(new DatabaseUnavailable({ cause: error.cause }))
        return Effect.succeed(appends.map(() => ({ _tag: "Failed", cause: failed })))
      }
      if (appends.length > 1) {
        return Effect.map(
          Effect.forEach(appends, (append) => attempt(sql, [append])),
          (each) => each.flat()
        )
      }
      const defect = Cause.die(Cause.squash(cause))
      return Effect.as(Effect.logError("An event cannot be written", cause), [{ _tag: "Failed", cause: defect }])
    })
  )

/** Takes from each writer, but one append for an interaction: a second writer of it waits for the next commit. */
const takeAll = (writers: ReadonlyArray<Writer>, later: Array<Writer>): ReadonlyArray<Taken> => {
  const taken = new Map<string, Taken>()
  for (const writer of writers) {
    if (taken.has(writer.interactionId)) later.push(writer)
    else {
      const append = writer.take(eventsPerWriterMax)
      if (append !== undefined) taken.set(append.interactionId, { writer, append })
    }
  }
  // Every process locks the rows of its commit in one order.
  return [...taken.values()].sort((a, b) => (a.append.interactionId < b.append.interactionId ? -1 : 1))
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const broadcast = yield* Broadcast
  const queue = yield* Queue.dropping<Writer>(writersWaitingMax)
  const more: Array<Writer> = []

  /**
   * Lets those who were just answered come back before the next commit: otherwise the first of them starts a commit of
   * its own, and all others wait for it. Costs a few turns of the scheduler and no time.
   */
  const gathered = (size: number, turns: number): Effect.Effect<void> =>
    Effect.flatMap(Effect.zipRight(Effect.yieldNow(), queue.size), (grown) =>
      grown > size && turns < gatherTurnsMax ? gathered(grown, turns + 1) : Effect.void
    )

  const next = Effect.gen(function* () {
    const again = more.splice(0, writersPerCommitMax)
    const first = again.length > 0 ? again : [yield* Queue.take(queue)]
    yield* gathered(0, 0)
    return [...first, ...(yield* Queue.takeUpTo(queue, writersPerCommitMax - first.length))]
  })

  const round = (writers: ReadonlyArray<Writer>) =>
    Effect.gen(function* () {
      const taken = takeAll(writers, more)
      if (taken.length === 0) return
      const results = yield* attempt(
        sql,
        taken.map(({ append }) => append)
      )
      let rows = 0
      for (const [index, { append, writer }] of taken.entries()) {
        const outcome = results[index]!
        if (outcome._tag === "Committed") rows += append.events.length
        if (writer.settle(outcome)) more.push(writer)
      }
      yield* Metric.update(Metrics.commitRows, rows)
      for (const [index, { append }] of taken.entries()) {
        if (results[index]!._tag !== "Committed") continue
        for (const event of append.events) yield* broadcast.publish(topic(append.interactionId), event)
      }
    })

  // A commit under way when the process stops is seen to its end: the statement has a timeout, and its senders wait.
  const committer = Effect.forever(Effect.flatMap(Effect.interruptible(next), round)).pipe(Effect.uninterruptible)
  for (let i = 1; i <= commitsAtOnce; i++) yield* Supervised.fork({ name: `event log commits ${i}`, effect: committer })

  return EventLog.of({
    ready: (writer) =>
      Effect.flatMap(Queue.offer(queue, writer), (accepted) =>
        accepted ? Effect.void : Effect.fail(new Overloaded({ retryAfterMillis: 1_000 }))
      )
  })
})

export const layer: Layer.Layer<EventLog, never, SqlClient.SqlClient | Broadcast> = Layer.scoped(EventLog, make)
