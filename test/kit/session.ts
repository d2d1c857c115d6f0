import * as SqlClient from "@effect/sql/SqlClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Ids from "../../src/domain/Ids.ts"
import { type EndReason, type Session, Sessions } from "../../src/session/Sessions.ts"

/** Somebody who may have sessions. `role` as the column has it. */
export const user = (role = 0) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const id = yield* Ids.make(Ids.UserId)
    const handle = `u${id.replaceAll("-", "").slice(-20)}`
    yield* sql`insert into users (id, handle, display_name, role, created_at, updated_at)
      values (${id}::uuid, ${handle}, 'Somebody', ${role}, now(), now())`
    return id
  })

export const signIn = (userId: Ids.UserId) =>
  Effect.flatMap(Sessions, (sessions) => sessions.create(userId, { userAgent: Option.some("Firefox") }))

/** Completes with the reason when the session ends early. */
export const ended = ({ whenEnded }: typeof Sessions.Service, session: Session): Effect.Effect<EndReason> =>
  Effect.gen(function* () {
    const reason = yield* Deferred.make<EndReason>()
    yield* whenEnded(session, (why) => Deferred.unsafeDone(reason, Effect.succeed(why)))
    return yield* Deferred.await(reason)
  }).pipe(Effect.scoped)
