import * as Effect from "effect/Effect"
import type { UserId } from "../domain/Ids.ts"
import { type DatabaseUnavailable, NotFound } from "../errors.ts"
import { type RequestContext } from "../graphql/Part.ts"
import type { User } from "./User.ts"
import { Users } from "./Users.ts"

/**
 * For resolvers that show a user: `const loadUser = yield* UserLoader.make`, then `loadUser(request, id)`. All that one
 * request asks for in one tick are read together. NotFound for a user who is gone.
 */
export const make: Effect.Effect<
  (request: RequestContext, id: UserId) => Effect.Effect<User, NotFound | DatabaseUnavailable>,
  never,
  Users
> = Effect.map(
  Users,
  (users) => (_request: RequestContext, id: UserId) =>
    Effect.flatMap(users.byIds([id]), (found) => {
      const user = found.get(id)
      return user ? Effect.succeed(user) : Effect.fail(new NotFound({ what: "User" }))
    })
)
