import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SessionId, UserId } from "../domain/Ids.ts"
import type { DatabaseUnavailable, NotFound, SessionExpired } from "../errors.ts"

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

/**
 * Who is signed in. Postgres holds every session (only the SHA-256 of its token); the Store and a near cache answer
 * `load`. At the limit per user (`Settings.session.perUserMax`) the session unused for longest ends.
 */
export class Sessions extends Context.Tag("@connect/Sessions")<
  Sessions,
  {
    /** A new session. `token` (256 random bits, base64url) is shown this once. */
    readonly create: (
      userId: UserId,
      role: Role,
      userAgent: Option.Option<string>
    ) => Effect.Effect<{ readonly token: string; readonly session: Session }, DatabaseUnavailable>
    /** The session of a token; extends its idle time now and then. */
    readonly load: (token: string) => Effect.Effect<Session, SessionExpired | DatabaseUnavailable>
    /** Live sessions of a user, the last used first. */
    readonly list: (userId: UserId) => Effect.Effect<ReadonlyArray<Session>, DatabaseUnavailable>
    /** Ends one session of that user, on every node, its sockets included. NotFound when it is not theirs or not live. */
    readonly revoke: (
      userId: UserId,
      sessionId: SessionId,
      reason: EndReason
    ) => Effect.Effect<void, NotFound | DatabaseUnavailable>
    /** Ends all but `except`; returns how many. */
    readonly revokeAll: (
      userId: UserId,
      reason: EndReason,
      except?: SessionId
    ) => Effect.Effect<number, DatabaseUnavailable>
    /** Completes with the reason when that session ends early. For sockets: race it. */
    readonly ended: (session: Session) => Effect.Effect<EndReason>
    readonly stats: Effect.Effect<{ readonly active: number; readonly created: number; readonly ended: number }>
  }
>() {}
