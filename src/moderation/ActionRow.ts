import type * as SqlClient from "@effect/sql/SqlClient"
import type { InteractionId, MessageId, ModerationActionId, ReportId, UserId } from "../domain/Ids.ts"
import { Action, type Kind } from "./Action.ts"

/** A row of `moderation_actions` under the names of `columns`. */
export interface ActionRow {
  readonly id: string
  readonly subjectId: string
  readonly actorId: string | null
  readonly kind: string
  readonly reason: string
  readonly messageId: string | null
  readonly interactionId: string | null
  readonly reportId: string | null
  readonly startsAt: Date
  readonly expiresAt: Date | null
  readonly revokedAt: Date | null
}

/** The columns of an `ActionRow`, of the table or alias `a`. */
export const columns = (sql: SqlClient.SqlClient) =>
  sql.literal(
    `a.id, a.subject_id as "subjectId", a.actor_id as "actorId", a.kind, a.reason, a.message_id as "messageId",
     a.interaction_id as "interactionId", a.report_id as "reportId", a.starts_at as "startsAt",
     a.expires_at as "expiresAt", a.revoked_at as "revokedAt"`
  )

/** Rows come from our own table, so they are not checked again. */
export const fromRow = (row: ActionRow): Action =>
  new Action(
    {
      ...row,
      id: row.id as ModerationActionId,
      subjectId: row.subjectId as UserId,
      actorId: row.actorId as UserId | null,
      kind: row.kind as Kind,
      messageId: row.messageId as MessageId | null,
      interactionId: row.interactionId as InteractionId | null,
      reportId: row.reportId as ReportId | null
    },
    { disableValidation: true }
  )
