import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Ids from "../../src/domain/Ids.ts"
import { Sessions, type Session } from "../../src/session/Sessions.ts"
import * as UserPart from "../../src/user/UserPart.ts"
import { Users } from "../../src/user/Users.ts"
import { withLayer } from "../kit/effect.ts"
import { ended } from "../kit/session.ts"
import { until } from "../layers/database/contract/SqlTest.ts"
import { call, layer, person, request } from "./services.ts"

interface Payload {
  readonly token: string
  readonly viewer: Session
}

const [old, next] = ["correct horse", "battery staple"] as const

const userAgent = Option.none()

/** Somebody, their session, and a sign-in by the old password that has been found right and begins its session. */
const signingIn = Effect.gen(function* () {
  const users = yield* Users
  const sessions = yield* Sessions
  const { user } = yield* person()
  const { session, token } = yield* sessions.create(user.id, { userAgent })
  const { passwordHash } = yield* users.authenticate(user.handle, Redacted.make(old))
  const { Mutation } = yield* UserPart.part
  return {
    user,
    session,
    token,
    begin: Effect.either(sessions.create(user.id, { userAgent, passwordHash })),
    change: call<Payload>(Mutation.changePassword, { current: old, next }, request(session))
  }
})

/** Keeps the user's row locked; releases it when run. */
const hold = (id: Ids.UserId) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [held, over] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const holding = sql.withTransaction(
      Effect.zipRight(
        sql`select 1 from users where id = ${id} for update`,
        Effect.zipRight(Deferred.succeed(held, undefined), Deferred.await(over))
      )
    )
    const fiber = yield* Effect.fork(holding)
    yield* Deferred.await(held)
    return Effect.zipRight(Deferred.succeed(over, undefined), Fiber.join(fiber))
  })

/** Until so many of this database's connections wait for a lock. */
const waiting = (count: number) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    until(
      sql<{ readonly n: number }>`select count(*)::int as n from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`,
      ([row]) => row?.n === count
    )
  )

withLayer("a password that changes while somebody signs in with it", layer, (test) => {
  test("a sign-in whose password was right before the change, and that begins after it, is refused", () =>
    Effect.gen(function* () {
      const { begin, change, user } = yield* signingIn
      const { token } = yield* change
      const begun = yield* begin
      expect(Either.isLeft(begun) && begun.left._tag).toBe("InvalidCredentials")
      expect((yield* (yield* Sessions).list(user.id)).length).toBe(1)
      yield* (yield* Sessions).load(token)
    }))

  for (const first of ["the change", "the sign-in"] as const)
    test(`waiting for the user's row together, ${first} first, they leave the new session alone`, () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const { begin, change, session, user } = yield* signingIn
        const release = yield* hold(user.id)
        const both = [yield* Effect.forkScoped(first === "the change" ? Effect.asVoid(change) : begin)]
        yield* waiting(1)
        both.push(yield* Effect.forkScoped(first === "the change" ? begin : Effect.asVoid(change)))
        yield* waiting(2)
        yield* release
        yield* Fiber.joinAll(both as ReadonlyArray<Fiber.Fiber<unknown, unknown>>)
        const left = yield* sessions.list(user.id)
        expect(left.length).toBe(1)
        expect(left[0]!.id).not.toBe(session.id)
        expect(yield* ended(sessions, session)).toBe("password_changed")
      }))

  test("of two changes at once one is made, and its session is the only one", () =>
    Effect.gen(function* () {
      const sessions = yield* Sessions
      const { change, user } = yield* signingIn
      const outcomes = yield* Effect.all([Effect.either(change), Effect.either(change)], { concurrency: 2 })
      const made = outcomes.flatMap((outcome) => (Either.isRight(outcome) ? [outcome.right.viewer.id] : []))
      expect((yield* sessions.list(user.id)).map(({ id }) => id)).toEqual(made)
      expect(made.length).toBe(1)
    }))

  test("a change that cannot begin its session changes nothing and ends none", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const sessions = yield* Sessions
      const { change, token, user } = yield* signingIn
      yield* sql`insert into moderation_actions (id, actor_id, subject_id, kind, reason, starts_at, client_key)
        values (gen_random_uuid(), ${user.id}, ${user.id}, 'BAN', 'because', now(), 'key')`
      expect((yield* Effect.flip(change))._tag).toBe("Restricted")
      yield* sessions.load(token)
      yield* (yield* Users).authenticate(user.handle, Redacted.make(old))
    }))

  test("two sign-ins that both renew an old hash both begin", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const sessions = yield* Sessions
      const sql = yield* SqlClient.SqlClient
      const { user } = yield* person()
      yield* sql`update users set password_hash = '$argon2id$v=19$m=4096,t=3,p=1$correct horse' where id = ${user.id}`
      const signIn = Effect.flatMap(users.authenticate(user.handle, Redacted.make(old)), ({ passwordHash }) =>
        sessions.create(user.id, { userAgent, passwordHash })
      )
      yield* Effect.all([signIn, signIn, signIn], { concurrency: 3 })
      expect((yield* sessions.list(user.id)).length).toBe(3)
    }))
})
