import * as Schema from "effect/Schema"
import { SessionId, UserId } from "../domain/Ids.ts"

export const Role = Schema.Literal("USER", "MODERATOR", "ADMIN")
export type Role = typeof Role.Type

/** A live session. */
export class Session extends Schema.Class<Session>("Session")({
  id: SessionId,
  userId: UserId,
  role: Role,
  createdAt: Schema.Date,
  lastUsedAt: Schema.Date,
  expiresAt: Schema.Date,
  userAgent: Schema.NullOr(Schema.String)
}) {}

/** Why a session ended. */
export type EndReason =
  | "signed_out"
  | "revoked"
  | "limit"
  | "expired"
  | "password_changed"
  | "banned"
  | "role_changed"
  | "erased"

/** Published on the Broadcast topic `session` when sessions end before their time. */
export interface Ended {
  readonly userId: string
  readonly sessionIds: ReadonlyArray<string>
  readonly reason: EndReason
}
