import * as Schema from "effect/Schema"
import { InteractionId, MessageId, ModerationActionId, ReportId, UserId } from "../domain/Ids.ts"

export const Kind = Schema.Literal(
  "WARN",
  "MUTE",
  "SHADOW_BAN",
  "BAN",
  "REMOVE_MESSAGE",
  "RESTORE_MESSAGE",
  "END_INTERACTION"
)
export type Kind = typeof Kind.Type

/** What a moderator did to someone, why, and for how long. What GraphQL shows as `ModerationAction`. */
export class Action extends Schema.Class<Action>("ModerationAction")({
  id: ModerationActionId,
  subjectId: UserId,
  actorId: Schema.NullOr(UserId),
  kind: Kind,
  reason: Schema.String,
  messageId: Schema.NullOr(MessageId),
  interactionId: Schema.NullOr(InteractionId),
  reportId: Schema.NullOr(ReportId),
  startsAt: Schema.Date,
  expiresAt: Schema.NullOr(Schema.Date),
  revokedAt: Schema.NullOr(Schema.Date)
}) {}
