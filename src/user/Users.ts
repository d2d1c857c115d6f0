import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { UserId } from "../domain/Ids.ts"
import type { Connection } from "../domain/Page.ts"
import type {
  Conflict,
  DatabaseUnavailable,
  InvalidCredentials,
  NotFound,
  Overloaded,
  ValidationFailed
} from "../errors.ts"
import type { Role } from "../session/Sessions.ts"
import type { ProfileInput, User } from "./User.ts"

/** Who someone is to the system; for the person themselves, never for others. */
export interface Account {
  readonly user: User
  readonly role: Role
  readonly email: string | null
}

/** Results of one search at most, over all its pages. */
export const searchResultsMax = 50

/** The people of the application: profiles (cached), accounts and passwords. */
export class Users extends Context.Tag("@connect/Users")<
  Users,
  {
    /** Those of the ids that exist. From the profile cache; one statement for all that it lacks. */
    readonly byIds: (ids: ReadonlyArray<UserId>) => Effect.Effect<ReadonlyMap<UserId, User>, DatabaseUnavailable>
    readonly byId: (id: UserId) => Effect.Effect<Option.Option<User>, DatabaseUnavailable>
    readonly byHandle: (handle: string) => Effect.Effect<Option.Option<User>, DatabaseUnavailable>
    /** The closest handle, display name or interest first; at most `searchResultsMax` over all pages. */
    readonly search: (search: {
      readonly text: string
      readonly first: number
      readonly after: string | null
    }) => Effect.Effect<Connection<User>, ValidationFailed | DatabaseUnavailable>
    /** Conflict when the handle is taken. */
    readonly create: (account: {
      readonly handle: string
      readonly password: Redacted.Redacted
      readonly email: string | null
      readonly profile: ProfileInput
    }) => Effect.Effect<Account, Conflict | Overloaded | DatabaseUnavailable>
    /** An account without a password and with a made-up handle. */
    readonly createGuest: (profile: ProfileInput) => Effect.Effect<Account, Conflict | DatabaseUnavailable>
    /** The account of this handle and password. Takes as long for an unknown handle as for a wrong password. */
    readonly authenticate: (
      handle: string,
      password: Redacted.Redacted
    ) => Effect.Effect<Account, InvalidCredentials | Overloaded | DatabaseUnavailable>
    readonly account: (id: UserId) => Effect.Effect<Account, NotFound | DatabaseUnavailable>
    readonly updateProfile: (id: UserId, change: ProfileInput) => Effect.Effect<User, NotFound | DatabaseUnavailable>
    /** Sets the next password if `current` is right and nobody changed it meanwhile. Sessions are the caller's. */
    readonly changePassword: (
      id: UserId,
      current: Redacted.Redacted,
      next: Redacted.Redacted
    ) => Effect.Effect<void, InvalidCredentials | Overloaded | DatabaseUnavailable>
  }
>() {}
