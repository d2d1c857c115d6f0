import * as SqlClient from "@effect/sql/SqlClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
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

/** Waits from now on, for as long as the scope, for the session to end early; the Effect that comes back has the reason. */
export const ending = (
  { whenEnded }: typeof Sessions.Service,
  session: Session
): Effect.Effect<Effect.Effect<EndReason>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const reason = yield* Deferred.make<EndReason>()
    yield* whenEnded(session, (why) => Deferred.unsafeDone(reason, Effect.succeed(why)))
    return Deferred.await(reason)
  })

/** Completes with the reason when the session ends early. */
export const ended = (sessions: typeof Sessions.Service, session: Session): Effect.Effect<EndReason> =>
  Effect.scoped(Effect.flatten(ending(sessions, session)))

/** Statements of this database that wait for a lock. */
export const lockWaits = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    (rows) => rows.length
  )
)
