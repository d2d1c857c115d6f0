import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Messages } from "../../src/communication/Messages.ts"
import * as Ids from "../../src/domain/Ids.ts"
import type { Role } from "../../src/session/Sessions.ts"
import type { Account } from "../../src/user/Users.ts"
import * as services from "../user/services.ts"

const numbers = { USER: 0, MODERATOR: 1, ADMIN: 2 } as const

/** Someone with a role. */
export const withRole = (role: Role) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const account = yield* services.person()
    yield* sql`update users set role = ${numbers[role]} where id = ${account.user.id}::uuid`
    return { ...account, role }
  })

/** An active interaction of the two. */
export const talk = (one: Account, two: Account) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const id = yield* Ids.make(Ids.InteractionId)
    const now = new Date(yield* Clock.currentTimeMillis)
    yield* sql`insert into interactions (id, started_at) values (${id}::uuid, ${now}::timestamptz)`
    yield* sql`
      insert into participants (interaction_id, user_id, joined_at)
      values (${id}::uuid, ${one.user.id}::uuid, ${now}::timestamptz),
             (${id}::uuid, ${two.user.id}::uuid, ${now}::timestamptz)`
    return id
  })

let keys = 0
export const key = () => `key-${++keys}`

export const say = (who: Account, interactionId: Ids.InteractionId, body: string) =>
  Effect.flatMap(Messages, (messages) => messages.send({ userId: who.user.id, interactionId, clientKey: key(), body }))
