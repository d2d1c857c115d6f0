import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { UserId } from "../domain/Ids.ts"
import { type DatabaseUnavailable, NotFound } from "../errors.ts"
import { memo, type RequestContext } from "../graphql/Part.ts"
import * as Batcher from "../request/Batcher.ts"
import type { User } from "./User.ts"
import { Users } from "./Users.ts"

/** Loads users for one request. All that it asks for in one turn are read together. */
export interface UserLoader {
  /** NotFound for a user who is gone. */
  readonly load: (request: RequestContext, id: UserId) => Batcher.Load<User, NotFound | DatabaseUnavailable>
  /** Null for nobody and for a user who is gone. */
  readonly find: (request: RequestContext, id: UserId | null) => Batcher.Load<User | null, DatabaseUnavailable> | null
}

const found = Option.match({ onNone: () => Exit.fail(new NotFound({ what: "User" })), onSome: Exit.succeed<User> })

/** For resolvers that show a user. */
export const make: Effect.Effect<UserLoader, never, Users> = Effect.map(Users, (users): UserLoader => {
  const batcher = (request: RequestContext) => memo(request, users, () => Batcher.make(users.byIds))
  return {
    load: (request, id) => batcher(request).read(id, found),
    find: (request, id) => (id === null ? null : batcher(request).find(id))
  }
})
