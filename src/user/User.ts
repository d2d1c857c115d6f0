import * as Schema from "effect/Schema"
import { UserId } from "../domain/Ids.ts"
import { Bio, DisplayName, Interests, Languages, Region } from "../domain/Profile.ts"

/** A person as everyone may see them. E-mail address and password hash are no part of it, so no cache can hold them. */
export class User extends Schema.Class<User>("User")({
  id: UserId,
  handle: Schema.String,
  displayName: Schema.String,
  bio: Schema.NullOr(Schema.String),
  interests: Schema.Array(Schema.String),
  languages: Schema.Array(Schema.String),
  region: Schema.NullOr(Schema.String),
  createdAt: Schema.Date
}) {}

/** What a person says of themselves. An absent field keeps what is there; `null` clears `bio` and `region`. */
export const ProfileInput = Schema.Struct({
  displayName: Schema.optional(Schema.NullOr(DisplayName)),
  bio: Schema.optional(Schema.NullOr(Bio)),
  languages: Schema.optional(Schema.NullOr(Languages)),
  region: Schema.optional(Schema.NullOr(Region)),
  interests: Schema.optional(Schema.NullOr(Interests))
})
export type ProfileInput = typeof ProfileInput.Type
