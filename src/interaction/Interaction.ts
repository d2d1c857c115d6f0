import type * as SqlClient from "@effect/sql/SqlClient"
import * as Schema from "effect/Schema"
import { InteractionId, UserId } from "../domain/Ids.ts"

export const InteractionState = Schema.Literal("ACTIVE", "ENDED")
export type InteractionState = typeof InteractionState.Type

export const EndReason = Schema.Literal("LEFT", "TIMEOUT", "MODERATED")
export type EndReason = typeof EndReason.Type

/** The literals in the order of their numbers in `interactions.state` and `interactions.end_reason`. */
export const states: ReadonlyArray<InteractionState> = InteractionState.literals
export const endReasons: ReadonlyArray<EndReason> = EndReason.literals

/** Two people talking, or who talked. `lastSeq` is the number of the newest event: 0 before the first. */
export class Interaction extends Schema.Class<Interaction>("Interaction")({
  id: InteractionId,
  state: InteractionState,
  lastSeq: Schema.Int,
  startedAt: Schema.Date,
  endedAt: Schema.NullOr(Schema.Date),
  endReason: Schema.NullOr(EndReason)
}) {}

/** One of those who take part; `lastReadSeq` never falls. */
export class Participant extends Schema.Class<Participant>("Participant")({
  interactionId: InteractionId,
  userId: UserId,
  joinedAt: Schema.Date,
  leftAt: Schema.NullOr(Schema.Date),
  lastReadSeq: Schema.Int
}) {}

/** A row of `interactions` under the names of `columns`. */
export interface InteractionRow {
  readonly id: string
  readonly state: number
  readonly lastSeq: number
  readonly startedAt: Date
  readonly endedAt: Date | null
  readonly endReason: number | null
}

/** The columns of an `InteractionRow`, of the table or alias `i`. */
export const columns = (sql: SqlClient.SqlClient) =>
  sql.literal(
    `i.id, i.state, i.last_seq as "lastSeq", i.started_at as "startedAt", i.ended_at as "endedAt",
     i.end_reason as "endReason"`
  )

/** Rows come from our own tables, so they are not checked again. */
export const fromRow = (row: InteractionRow): Interaction =>
  new Interaction(
    {
      id: row.id as InteractionId,
      state: states[row.state] ?? "ENDED",
      lastSeq: row.lastSeq,
      startedAt: row.startedAt,
      endedAt: row.endedAt,
      endReason: row.endReason === null ? null : (endReasons[row.endReason] ?? null)
    },
    { disableValidation: true }
  )

/** A row of `participants` under the names of `participantColumns`. */
export interface ParticipantRow {
  readonly interactionId: string
  readonly userId: string
  readonly joinedAt: Date
  readonly leftAt: Date | null
  readonly lastReadSeq: number
}

/** The columns of a `ParticipantRow`, of the table or alias `p`. */
export const participantColumns = (sql: SqlClient.SqlClient) =>
  sql.literal(
    `p.interaction_id as "interactionId", p.user_id as "userId", p.joined_at as "joinedAt", p.left_at as "leftAt",
     p.last_read_seq as "lastReadSeq"`
  )

export const participantFromRow = (row: ParticipantRow): Participant =>
  new Participant(
    {
      interactionId: row.interactionId as InteractionId,
      userId: row.userId as UserId,
      joinedAt: row.joinedAt,
      leftAt: row.leftAt,
      lastReadSeq: row.lastReadSeq
    },
    { disableValidation: true }
  )
