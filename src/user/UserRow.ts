import type * as SqlClient from "@effect/sql/SqlClient"
import { UserId } from "../domain/Ids.ts"
import type { Role } from "../session/Sessions.ts"
import { User } from "./User.ts"

/** A row of `users` without its secrets. */
export interface UserRow {
  readonly id: string
  readonly handle: string
  readonly displayName: string
  readonly bio: string | null
  readonly interests: ReadonlyArray<string>
  readonly languages: ReadonlyArray<string>
  readonly region: string | null
  readonly createdAt: Date
}

/** The columns of a `UserRow`, of the table or alias `users`. */
export const columns = (sql: SqlClient.SqlClient) =>
  sql.literal(
    `users.id, users.handle, users.display_name as "displayName", users.bio, users.interests, users.languages,
     users.region, users.created_at as "createdAt"`
  )

export const toUser = (row: UserRow): User =>
  new User({
    id: UserId.make(row.id),
    handle: row.handle,
    displayName: row.displayName,
    bio: row.bio,
    interests: row.interests,
    languages: row.languages,
    region: row.region,
    createdAt: row.createdAt
  })

const roles: ReadonlyArray<Role> = ["USER", "MODERATOR", "ADMIN"]

/** The role that `users.role` stands for. */
export const toRole = (role: number): Role => roles[role] ?? "USER"
