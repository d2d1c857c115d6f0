import type * as SqlClient from "@effect/sql/SqlClient"
import * as Schema from "effect/Schema"
import { InteractionId, MessageId, UserId } from "../domain/Ids.ts"

/** HELD waits for a moderator and REMOVED was taken away by one: the sender sees a held body, nobody a removed one. */
export const MessageState = Schema.Literal("VISIBLE", "HELD", "REMOVED")
export type MessageState = typeof MessageState.Type

/** The states in the order of their numbers in `messages.state`. */
export const states: ReadonlyArray<MessageState> = MessageState.literals

/** What someone said. `seq` is its number among the events of the interaction; `senderId` is null once they are erased. */
export class Message extends Schema.Class<Message>("Message")({
  id: MessageId,
  interactionId: InteractionId,
  seq: Schema.Int,
  senderId: Schema.NullOr(UserId),
  body: Schema.NullOr(Schema.String),
  state: MessageState,
  createdAt: Schema.Date,
  clientKey: Schema.String
}) {}

/** A row of `messages` under the names of `columns`. */
export interface MessageRow {
  readonly id: string
  readonly interactionId: string
  readonly seq: number
  readonly senderId: string | null
  readonly body: string | null
  readonly state: number
  readonly createdAt: Date
  readonly clientKey: string
}

/** The columns of a `MessageRow`, of the table or alias `m`. */
export const columns = (sql: SqlClient.SqlClient) =>
  sql.literal(
    `m.id, m.interaction_id as "interactionId", m.seq, m.sender_id as "senderId", m.body, m.state,
     m.created_at as "createdAt", m.client_key as "clientKey"`
  )

/** Rows come from our own tables, so they are not checked again. */
export const fromRow = (row: MessageRow): Message =>
  new Message(
    {
      id: row.id as MessageId,
      interactionId: row.interactionId as InteractionId,
      seq: row.seq,
      senderId: row.senderId as UserId | null,
      body: row.body,
      state: states[row.state] ?? "REMOVED",
      createdAt: row.createdAt,
      clientKey: row.clientKey
    },
    { disableValidation: true }
  )

/** The body as this person may see it. */
export const bodyFor = (message: Message, viewerId: string | undefined): string | null =>
  message.state === "VISIBLE" || (message.state === "HELD" && message.senderId === viewerId) ? message.body : null
