import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { MessageRow } from "../communication/Message.ts"
import { columns as messageColumns, fromRow as messageFromRow } from "../communication/Message.ts"
import * as ReadBatcher from "../database/ReadBatcher.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { InteractionId, UserId } from "../domain/Ids.ts"
import { type DatabaseUnavailable, NotFound } from "../errors.ts"
import type { NumberedEvent } from "./Event.ts"
import { kinds, messageToJson } from "./Event.ts"
import type { InteractionRow, ParticipantRow } from "./Interaction.ts"
import { columns, endReasons, fromRow, type Interaction, type Participant } from "./Interaction.ts"
import { participantColumns, participantFromRow } from "./Interaction.ts"

/** Events of one replay page. */
export const replayPageMax = 200

/** What is read of an interaction beside its own row, in one statement. */
export interface Details {
  /** In the order in which they joined. */
  readonly participants: ReadonlyArray<Participant>
  /** Visible messages of others that the viewer has not read. */
  readonly unread: number
}

type Read<A> = Effect.Effect<A, DatabaseUnavailable>

/** What is known of interactions. Everything here reads the database; what changes them goes through their actor. */
export class Interactions extends Context.Tag("@connect/Interactions")<
  Interactions,
  {
    /** The interaction, for one of its participants; NotFound for anybody else. */
    readonly find: (id: InteractionId, viewerId: UserId) => Effect.Effect<Interaction, NotFound | DatabaseUnavailable>
    /** The interaction with its participants, whoever asks, in one read; NotFound when there is none. */
    readonly load: (
      id: InteractionId
    ) => Effect.Effect<
      { readonly interaction: Interaction; readonly participants: ReadonlyArray<Participant> },
      NotFound | DatabaseUnavailable
    >
    /** Those of the ids that exist, whoever asks. */
    readonly byIds: (ids: ReadonlyArray<InteractionId>) => Read<ReadonlyMap<InteractionId, Interaction>>
    /** Who takes part in each, and what `viewerId` has not read there; nothing is counted for nobody. */
    readonly details: (
      ids: ReadonlyArray<InteractionId>,
      viewerId: UserId | null
    ) => Read<ReadonlyMap<InteractionId, Details>>
    /** Visible messages of others that this person has not read, over all active interactions. */
    readonly unreadTotal: (viewerId: UserId) => Read<number>
    /** Events numbered above `afterSeq`, lowest first, at most `replayPageMax`. */
    readonly events: (id: InteractionId, afterSeq: number) => Read<ReadonlyArray<NumberedEvent>>
    /** When somebody wrote last, or it began. */
    readonly quietSince: (id: InteractionId) => Effect.Effect<Date, NotFound | DatabaseUnavailable>
    /** Active interactions of this person, with that other one where given. */
    readonly active: (userId: UserId, withId?: UserId) => Read<ReadonlyArray<InteractionId>>
  }
>() {}

/** A row of `events`, with its message and the reason of the interaction's end. */
interface EventRow {
  readonly eventSeq: number
  readonly kind: number
  readonly at: Date
  readonly userId: string | null
  readonly endReason: number | null
}

const toEvent = (interactionId: InteractionId, row: EventRow & MessageRow): ReadonlyArray<NumberedEvent> => {
  const at = row.at.toISOString()
  const seq = row.eventSeq
  switch (row.kind) {
    case kinds.MessageAdded:
      return [{ _tag: "MessageAdded", seq, at, message: messageToJson(messageFromRow(row)) }]
    case kinds.MessageChanged:
      return [{ _tag: "MessageChanged", seq, at, message: messageToJson(messageFromRow(row)) }]
    case kinds.ParticipantLeft:
      return [{ _tag: "ParticipantLeft", seq, at, userId: row.userId as UserId }]
    case kinds.InteractionEnded:
      return [{ _tag: "InteractionEnded", seq, at, interactionId, reason: endReasons[row.endReason ?? 0] ?? "LEFT" }]
    default:
      return []
  }
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const idList = (ids: ReadonlyArray<string>) =>
    sql`(select value::uuid from jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb))`

  const reads = yield* ReadBatcher.make({
    name: "interaction",
    statement: (ids: ReadonlyArray<InteractionId>) =>
      orUnavailable(
        Effect.map(
          sql<InteractionRow>`select ${columns(sql)} from interactions i where i.id in ${idList(ids)}`,
          (rows) => rows.map(fromRow)
        )
      ),
    key: (interaction) => interaction.id
  })

  return Interactions.of({
    find: (id, viewerId) =>
      Effect.flatMap(
        orUnavailable(sql<InteractionRow>`
select ${columns(sql)} from interactions i join participants p on p.interaction_id = i.id
where i.id = ${id}::uuid and p.user_id = ${viewerId}::uuid`),
        ([row]) =>
          row === undefined ? Effect.fail(new NotFound({ what: "Interaction" })) : Effect.succeed(fromRow(row))
      ),

    load: (id) =>
      Effect.flatMap(
        orUnavailable(sql<InteractionRow & ParticipantRow>`
select ${columns(sql)}, ${participantColumns(sql)} from interactions i join participants p on p.interaction_id = i.id
where i.id = ${id}::uuid order by p.joined_at, p.user_id`),
        (rows) =>
          rows[0] === undefined
            ? Effect.fail(new NotFound({ what: "Interaction" }))
            : Effect.succeed({ interaction: fromRow(rows[0]), participants: rows.map(participantFromRow) })
      ),

    byIds: reads.loadMany,

    details: (ids, viewerId) =>
      Effect.map(
        orUnavailable(sql<ParticipantRow & { readonly unread: number }>`
select ${participantColumns(sql)}, (
  select count(*)::int from messages m
  where p.user_id = ${viewerId}::uuid and m.interaction_id = p.interaction_id and m.seq > p.last_read_seq
    and m.state = 0 and m.sender_id is distinct from p.user_id) as unread
from participants p where p.interaction_id in ${idList(ids)}
order by p.joined_at, p.user_id`),
        (rows) => {
          const found = new Map(ids.map((id) => [id, { participants: [] as Array<Participant>, unread: 0 }]))
          for (const row of rows) {
            const details = found.get(row.interactionId as InteractionId)
            details?.participants.push(participantFromRow(row))
            if (details !== undefined) details.unread += row.unread
          }
          return found
        }
      ),

    unreadTotal: (viewerId) =>
      Effect.map(
        orUnavailable(sql<{ readonly unread: number }>`
select count(*)::int as unread from participants p
join interactions i on i.id = p.interaction_id and i.state = 0
join messages m on m.interaction_id = p.interaction_id and m.seq > p.last_read_seq
where p.user_id = ${viewerId}::uuid and m.state = 0 and m.sender_id is distinct from p.user_id`),
        (rows) => rows[0]?.unread ?? 0
      ),

    events: (id, afterSeq) =>
      Effect.map(
        orUnavailable(sql<EventRow & MessageRow>`
select e.seq as "eventSeq", e.kind, e.created_at as at, e.user_id as "userId", i.end_reason as "endReason",
  ${messageColumns(sql)}
from events e join interactions i on i.id = e.interaction_id left join messages m on m.id = e.message_id
where e.interaction_id = ${id}::uuid and e.seq > ${afterSeq}::int
order by e.seq limit ${replayPageMax}`),
        (rows) => rows.flatMap((row) => toEvent(id, row))
      ),

    quietSince: (id) =>
      Effect.flatMap(
        orUnavailable(sql<{ readonly at: Date }>`
select coalesce((select m.created_at from messages m where m.interaction_id = i.id order by m.seq desc limit 1), i.started_at) as at
from interactions i where i.id = ${id}::uuid`),
        ([row]) => (row === undefined ? Effect.fail(new NotFound({ what: "Interaction" })) : Effect.succeed(row.at))
      ),

    active: (userId, withId) =>
      Effect.map(
        orUnavailable(sql<{ readonly id: string }>`
select i.id from participants p join interactions i on i.id = p.interaction_id and i.state = 0
where p.user_id = ${userId}::uuid and (${withId ?? null}::uuid is null or exists (
  select from participants o where o.interaction_id = i.id and o.user_id = ${withId ?? null}::uuid))
order by i.started_at, i.id`),
        (rows) => rows.map((row) => row.id as InteractionId)
      )
  })
})

export const layer: Layer.Layer<Interactions, never, SqlClient.SqlClient> = Layer.effect(Interactions, make)
