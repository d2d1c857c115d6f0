import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { UserId } from "../domain/Ids.ts"
import { type DatabaseUnavailable, NotFound } from "../errors.ts"
import * as Batcher from "../graphql/Batcher.ts"
import { memo, type RequestContext } from "../graphql/Part.ts"
import type { User } from "./User.ts"
import { Users } from "./Users.ts"

/** Loads a user for one request. */
export type LoadUser = (request: RequestContext, id: UserId) => Effect.Effect<User, NotFound | DatabaseUnavailable>

/**
 * For resolvers that show a user: `const loadUser = yield* UserLoader.make`, then `loadUser(request, id)`. All that one
 * request asks for in one turn are read together. NotFound for a user who is gone.
 */
export const make: Effect.Effect<LoadUser, never, Users> = Effect.map(Users, (users): LoadUser => {
  const batcher = (request: RequestContext) => memo(request, users, () => Batcher.make(users.byIds))
  return (request, id) =>
    Effect.flatMap(
      batcher(request).load(id),
      Option.match({ onNone: () => Effect.fail(new NotFound({ what: "User" })), onSome: Effect.succeed })
    )
})
