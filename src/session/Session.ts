import * as Schema from "effect/Schema"
import type { SessionId, UserId } from "../domain/Ids.ts"

export const Role = Schema.Literal("USER", "MODERATOR", "ADMIN")
export type Role = typeof Role.Type

/** A live session. Plain, since one is made for every request that finds none near. */
export interface Session {
  readonly id: SessionId
  readonly userId: UserId
  readonly role: Role
  readonly createdAt: Date
  readonly lastUsedAt: Date
  readonly expiresAt: Date
  readonly userAgent: string | null
}

/** Why a session ended. */
export type EndReason =
  | "signed_out"
  | "revoked"
  | "rotated"
  | "limit"
  | "expired"
  | "password_changed"
  | "banned"
  | "role_changed"
  | "erased"

/** Told to every process, on the Broadcast topic `session`, when sessions end. */
export interface Ended {
  readonly userId: string
  readonly sessionIds: ReadonlyArray<string>
  readonly reason: EndReason
}

const role = (text: string): Role | undefined => Role.literals.find((known) => known === text)

type Stored = readonly [
  id: SessionId,
  userId: UserId,
  role: string,
  createdAt: number,
  lastUsedAt: number,
  expiresAt: number,
  userAgent: string | null
]

/** How a session stands in the Store: a JSON array, since it is read with every request. */
export const toText = (session: Session): string =>
  JSON.stringify([
    session.id,
    session.userId,
    session.role,
    session.createdAt.getTime(),
    session.lastUsedAt.getTime(),
    session.expiresAt.getTime(),
    session.userAgent
  ])

/** undefined for what is no session: the mark of one that ended, or what another version wrote. */
export const fromText = (text: string): Session | undefined => {
  if (!text.startsWith("[")) return undefined
  const [id, userId, named, createdAt, lastUsedAt, expiresAt, userAgent] = JSON.parse(text) as Stored
  const known = role(named)
  if (known === undefined || typeof expiresAt !== "number") return undefined
  return {
    id,
    userId,
    role: known,
    createdAt: new Date(createdAt),
    lastUsedAt: new Date(lastUsedAt),
    expiresAt: new Date(expiresAt),
    userAgent
  }
}
