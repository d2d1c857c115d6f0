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

/** What each text begins with: another layout gets another. */
const layout = "s1"
/** Where the parts of a text begin: three times in base 36 are filled up with zeros, the user agent is all the rest. */
const place = { id: 2, userId: 38, createdAt: 74, lastUsedAt: 83, expiresAt: 92, role: 101, userAgent: 102 } as const

const time = (date: Date): string => date.getTime().toString(36).padStart(9, "0")

/** How a session stands in the Store: at fixed places, since it is read with every request. */
export const toText = ({ createdAt, expiresAt, id, lastUsedAt, role, userAgent, userId }: Session): string => {
  const times = time(createdAt) + time(lastUsedAt) + time(expiresAt)
  return `${layout}${id}${userId}${times}${Role.literals.indexOf(role)}${userAgent === null ? "" : `=${userAgent}`}`
}

/** As `Number.parseInt(…, 36)` without the slice, which costs three times as much. */
const date = (text: string, from: number, to: number): Date => {
  let millis = 0
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at)
    millis = millis * 36 + code - (code < 58 ? 48 : 87)
  }
  return new Date(millis)
}

/** undefined for what is no session: the mark of one that ended, or what another version wrote. */
export const fromText = (text: string): Session | undefined => {
  if (!text.startsWith(layout)) return undefined
  const role = Role.literals[text.charCodeAt(place.role) - 48]
  if (role === undefined) return undefined
  return {
    id: text.slice(place.id, place.userId) as SessionId,
    userId: text.slice(place.userId, place.createdAt) as UserId,
    role,
    createdAt: date(text, place.createdAt, place.lastUsedAt),
    lastUsedAt: date(text, place.lastUsedAt, place.expiresAt),
    expiresAt: date(text, place.expiresAt, place.role),
    userAgent: text.length === place.userAgent ? null : text.slice(place.userAgent + 1)
  }
}
