import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Statement } from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { SessionExpired } from "../../src/errors.ts"
import * as Loading from "../../src/session/Loading.ts"
import * as Sessions from "../../src/session/Sessions.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import { ended, lockWaits, signIn, user } from "../kit/session.ts"

/**
 * Runs the effect while another transaction has run the statement, and commits that when the effect is over, or when so
 * many of its statements wait.
 */
const beside = <A, E, R>(statement: Statement<object>, effect: Effect.Effect<A, E, R>, waitingMax = 1) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [held, over] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const hold = Effect.zipRight(Deferred.succeed(held, undefined), Deferred.await(over))
    const holding = yield* Effect.fork(sql.withTransaction(Effect.zipRight(statement, hold)))
    yield* Deferred.await(held)
    const running = yield* Effect.fork(effect)
    yield* Effect.repeat(Effect.zip(Fiber.poll(running), lockWaits), {
      until: ([exit, waiting]) => Option.isSome(exit) || waiting >= waitingMax,
      schedule: Schedule.spaced("2 millis")
    })
    yield* Deferred.succeed(over, undefined)
    yield* Fiber.join(holding)
    return yield* Fiber.join(running)
  })

withLayer(
  "Sessions that others are at",
  Sessions.layer.pipe(
    Layer.provideMerge(
      Layer.mergeAll(Postgres.layerDatabase, Settings.layerTest(), StoreMemory.layer, Broadcast.layerLocal)
    )
  ),
  (it) => {
    it("a session that expired ends once, however many sweep at the same time", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const sessions = yield* Sessions.Sessions
        const { session } = yield* signIn(yield* user())
        yield* sql`update sessions set expires_at = now() - interval '1 minute' where id = ${session.id}::uuid`
        const sweeps = Effect.all([sessions.sweep, sessions.sweep], { concurrency: 2 })
        const together = yield* beside(sql`select 1 from sessions where id = ${session.id}::uuid for update`, sweeps, 2)
        const after = yield* sessions.sweep
        expect([...together, after].reduce((sum, { expired }) => sum + expired, 0)).toBe(1)
      }))

    it("a sweep does not end a session that is being renewed", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const sessions = yield* Sessions.Sessions
        const { session, token } = yield* signIn(yield* user())
        yield* sql`update sessions set expires_at = now() - interval '1 second' where id = ${session.id}::uuid`
        const renewal = sql`update sessions set expires_at = now() + interval '7 days' where id = ${session.id}::uuid`
        yield* beside(renewal, sessions.sweep)
        expect((yield* sessions.load(token)).id).toBe(session.id)
      }))

    it("whoever ends the sessions of everybody also ends those that are being renewed", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const sessions = yield* Sessions.Sessions
        const admin = yield* user(2)
        const own = yield* signIn(admin)
        const { session, token } = yield* signIn(yield* user())
        const renewal = sql`update sessions set last_used_at = now() where id = ${session.id}::uuid`
        yield* beside(renewal, sessions.revokeEverybody("revoked", admin))
        expect(yield* Effect.flip(sessions.load(token))).toBeInstanceOf(SessionExpired)
        expect((yield* sessions.load(own.token)).id).toBe(own.session.id)
      }))

    it("whoever ends all sessions of somebody also ends one that is just beginning", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const sessions = yield* Sessions.Sessions
        const userId = yield* user()
        const id = yield* Ids.make(Ids.SessionId)
        const beginning = sql`
          with locked as (select id from users where id = ${userId}::uuid for update)
          insert into sessions (id, user_id, token_hash, created_at, last_used_at, expires_at, absolute_expires_at)
          select ${id}::uuid, id, decode(md5(${id}::text), 'hex'), now(), now(), now() + interval '1 day', now() + interval '1 day'
          from locked`
        expect(yield* beside(beginning, sessions.revokeAll(userId, "revoked"))).toBe(1)
        expect(yield* sessions.list(userId)).toEqual([])
      }))

    it("a look-up renews without waiting for whoever is at the session", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const sessions = yield* Sessions.Sessions
        const { session, token } = yield* signIn(yield* user())
        yield* sql`update sessions set last_used_at = now() - interval '1 hour' where id = ${session.id}::uuid`
        const held = sql`select 1 from sessions where id = ${session.id}::uuid for update`
        expect((yield* beside(held, sessions.load(token), Infinity)).id).toBe(session.id)
      }))

    it("sockets learn of an end that nobody told of as soon as the Store forgets the session", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const context = yield* Layer.build(Layer.fresh(Sessions.layer))
        const sessions = Context.get(context, Sessions.Sessions)
        const { session } = yield* sessions.create(yield* user(), { userAgent: Option.none() })
        const waiter = yield* Effect.fork(ended(sessions, session))
        yield* TestClock.adjust("1 second")
        yield* sql`update sessions set ended_at = now(), end_reason = 'revoked' where id = ${session.id}::uuid`
        yield* TestClock.adjust(Loading.storeTtl)
        expect(yield* Fiber.join(waiter)).toBe("revoked")
      }).pipe(Effect.provide(TestContext.TestContext)))

    it("the lifetime of a session that expired is over when it did, however late the sweep", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const sessions = yield* Sessions.Sessions
        yield* sessions.sweep
        const { session } = yield* signIn(yield* user())
        yield* sql`update sessions set created_at = now() - interval '9 days', expires_at = now() - interval '2 days'
          where id = ${session.id}::uuid`
        const before = yield* sessions.stats
        yield* sessions.sweep
        const after = yield* sessions.stats
        const seconds = after.meanSeconds * after.ended - (before.ended === 0 ? 0 : before.meanSeconds * before.ended)
        expect(seconds).toBeCloseTo(7 * 86_400, 0)
      }))
  }
)
