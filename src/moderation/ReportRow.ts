import type * as SqlClient from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import type { InteractionId, MessageId, ReportId, UserId } from "../domain/Ids.ts"
import { claimLease, type Reason, Report, states } from "./Report.ts"

/** A row of `reports` under the names of `columns`. */
export interface ReportRow {
  readonly id: string
  readonly reporterId: string | null
  readonly subjectId: string
  readonly messageId: string | null
  readonly interactionId: string | null
  readonly reason: string
  readonly details: string | null
  readonly state: number
  readonly priority: number
  readonly claimedBy: string | null
  readonly claimedAt: Date | null
  readonly createdAt: Date
}

/** The columns of a `ReportRow`, of the table or alias `r`. */
export const columns = (sql: SqlClient.SqlClient) =>
  sql.literal(`r.id, r.reporter_id as "reporterId", r.subject_id as "subjectId", r.message_id as "messageId",
  r.interaction_id as "interactionId", r.reason, r.details, r.state, r.priority, r.claimed_by as "claimedBy",
  r.claimed_at as "claimedAt", r.created_at as "createdAt"`)

/** The report as it is now: a claim whose lease is over is none. */
export const fromRow = (row: ReportRow, nowMillis: number): Report => {
  const lapsed =
    row.state === 1 && row.claimedAt !== null && row.claimedAt.getTime() + Duration.toMillis(claimLease) <= nowMillis
  return new Report(
    {
      id: row.id as ReportId,
      reporterId: row.reporterId as UserId | null,
      subjectId: row.subjectId as UserId,
      messageId: row.messageId as MessageId | null,
      interactionId: row.interactionId as InteractionId | null,
      reason: row.reason as Reason,
      details: row.details,
      state: lapsed ? "OPEN" : (states[row.state] ?? "OPEN"),
      priority: row.priority,
      claimedBy: lapsed ? null : (row.claimedBy as UserId | null),
      createdAt: row.createdAt
    },
    { disableValidation: true }
  )
}
