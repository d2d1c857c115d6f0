import type * as SqlClient from "@effect/sql/SqlClient"
import * as Schema from "effect/Schema"
import { InteractionId, MatchId, TicketId, UserId } from "../domain/Ids.ts"

export const TicketState = Schema.Literal("WAITING", "MATCHED", "CANCELLED", "EXPIRED")
export type TicketState = typeof TicketState.Type

/** The literals in the order of their numbers in `tickets.state`. */
export const states: ReadonlyArray<TicketState> = TicketState.literals

/** A person's wish to be matched. Only WAITING ever changes, and only once. */
export class Ticket extends Schema.Class<Ticket>("Ticket")({
  id: TicketId,
  userId: UserId,
  state: TicketState,
  interests: Schema.Array(Schema.String),
  languages: Schema.Array(Schema.String),
  region: Schema.NullOr(Schema.String),
  createdAt: Schema.Date,
  endedAt: Schema.NullOr(Schema.Date)
}) {}

/** Two people brought together. `score` is what they have in common, 0 to 12; `userIds` are the two. */
export class Match extends Schema.Class<Match>("Match")({
  id: MatchId,
  interactionId: InteractionId,
  userIds: Schema.Tuple(UserId, UserId),
  sharedInterests: Schema.Array(Schema.String),
  level: Schema.Int,
  score: Schema.Number,
  createdAt: Schema.Date
}) {}

/** A row of `tickets` under the names of `columns`. */
export interface TicketRow {
  readonly id: string
  readonly userId: string
  readonly state: number
  readonly interests: ReadonlyArray<string>
  readonly languages: ReadonlyArray<string>
  readonly region: string | null
  readonly createdAt: Date
  readonly endedAt: Date | null
}

/** The columns of a `TicketRow`, of the table or alias `t`. */
export const columns = (sql: SqlClient.SqlClient) =>
  sql.literal(
    `t.id, t.user_id as "userId", t.state, t.interests, t.languages, t.region, t.created_at as "createdAt",
     t.ended_at as "endedAt"`
  )

/** Rows come from our own tables, so they are not checked again. */
export const fromRow = (row: TicketRow): Ticket =>
  new Ticket(
    {
      id: row.id as TicketId,
      userId: row.userId as UserId,
      state: states[row.state] ?? "EXPIRED",
      interests: row.interests,
      languages: row.languages,
      region: row.region,
      createdAt: row.createdAt,
      endedAt: row.endedAt
    },
    { disableValidation: true }
  )

/** A row of `matches` under the names of `matchColumns`. */
export interface MatchRow {
  readonly id: string
  readonly interactionId: string
  readonly userA: string
  readonly userB: string
  readonly sharedInterests: ReadonlyArray<string>
  readonly level: number
  readonly score: number
  readonly createdAt: Date
}

/** The columns of a `MatchRow`, of the table or alias `m`. */
export const matchColumns = (sql: SqlClient.SqlClient) =>
  sql.literal(
    `m.id, m.interaction_id as "interactionId", m.shared_interests as "sharedInterests", m.level, m.score,
     m.created_at as "createdAt",
     (select min(t.user_id::text) from match_tickets k join tickets t on t.id = k.ticket_id
      where k.match_id = m.id) as "userA",
     (select max(t.user_id::text) from match_tickets k join tickets t on t.id = k.ticket_id
      where k.match_id = m.id) as "userB"`
  )

export const matchFromRow = (row: MatchRow): Match =>
  new Match(
    {
      id: row.id as MatchId,
      interactionId: row.interactionId as InteractionId,
      userIds: [row.userA as UserId, row.userB as UserId],
      sharedInterests: row.sharedInterests,
      level: row.level,
      score: row.score,
      createdAt: row.createdAt
    },
    { disableValidation: true }
  )
