import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import fc from "fast-check"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { Conflict, NotFound, Restricted, SessionExpired } from "../../src/errors.ts"
import * as SessionRows from "../../src/session/SessionRows.ts"
import * as Sessions from "../../src/session/Sessions.ts"
import * as Token from "../../src/session/Token.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import * as Redis from "../kit/Redis.ts"
import { ended, ending, lockWaits, signIn, user } from "../kit/session.ts"

const perUserMax = 3

const settings = Settings.layerTest((shape) => ({ ...shape, session: { ...shape.session, perUserMax } }))

/** How long the sessions of this process that ended had lasted: how many up to each number of seconds, and together. */
const lifetimes = () => {
  const { buckets, sum } = Metrics.sessionSeconds.unsafeValue([])
  return { buckets: [...buckets], sum }
}

const contract = (name: string, store: Layer.Layer<Store>) =>
  withLayer(
    `Sessions: ${name}`,
    Sessions.layer.pipe(
      Layer.provideMerge(
        Layer.mergeAll(Postgres.layerDatabase, settings, Layer.provideMerge(Broadcast.layerStore, store))
      )
    ),
    (it) => {
      it("a token loads its session, with the role that the user has", () =>
        Effect.gen(function* () {
          const sessions = yield* Sessions.Sessions
          const userId = yield* user(1)
          const { session, token } = yield* signIn(userId)
          expect(Token.wellFormed(token)).toBe(true)
          for (let n = 0; n < 3; n++) {
            const loaded = yield* sessions.load(token)
            expect(loaded.id).toBe(session.id)
            expect(loaded.role).toBe("MODERATOR")
            expect(loaded.userAgent).toBe("Firefox")
          }
        }))

      it("only the token's hash is kept", () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const { session, token } = yield* signIn(yield* user())
          const [row] = yield* sql`select s::text as text from sessions s where id = ${session.id}::uuid`
          expect(JSON.stringify(row)).not.toContain(token)
          expect(JSON.stringify(row)).toContain(Buffer.from(Token.bytes(Token.hash(token))).toString("hex"))
        }))

      it("tokens that are unknown or malformed are refused", () =>
        Effect.gen(function* () {
          const sessions = yield* Sessions.Sessions
          const unknown = yield* Token.make
          for (const token of ["", "x", unknown.slice(1), `${unknown} `, unknown, unknown])
            expect(yield* Effect.flip(sessions.load(token))).toBeInstanceOf(SessionExpired)
        }))

      it("above the limit the session unused for longest ends", () =>
        Effect.gen(function* () {
          const sessions = yield* Sessions.Sessions
          const userId = yield* user()
          const made = yield* Effect.replicateEffect(Effect.delay(signIn(userId), "2 millis"), perUserMax + 1)
          expect(yield* Effect.flip(sessions.load(made[0]!.token))).toBeInstanceOf(SessionExpired)
          for (const { token } of made.slice(1)) yield* sessions.load(token)
          expect((yield* sessions.list(userId)).length).toBe(perUserMax)
        }))

      it("a revoked session is refused at once and its waiter learns why", () =>
        Effect.gen(function* () {
          const sessions = yield* Sessions.Sessions
          const userId = yield* user()
          const { session, token } = yield* signIn(userId)
          yield* sessions.load(token)
          const waiter = yield* Effect.fork(ended(sessions, session))
          yield* Effect.yieldNow()
          yield* sessions.revoke(userId, session.id, "signed_out")
          expect(yield* Effect.flip(sessions.load(token))).toBeInstanceOf(SessionExpired)
          expect(yield* Fiber.join(waiter)).toBe("signed_out")
          // Who comes too late for the signal still learns it.
          expect(yield* ended(sessions, session)).toBe("signed_out")
        }))

      it("a revocation is finished when whoever asked for it has gone", () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const sessions = yield* Sessions.Sessions
          const userId = yield* user()
          const { token } = yield* signIn(userId)
          yield* sessions.load(token)
          const [held, over] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          const holding = yield* Effect.fork(
            sql.withTransaction(
              Effect.zipRight(
                sql`select 1 from users where id = ${userId}::uuid for update`,
                Effect.zipRight(Deferred.succeed(held, undefined), Deferred.await(over))
              )
            )
          )
          yield* Deferred.await(held)
          const revoking = yield* Effect.fork(sessions.revokeAll(userId, "revoked"))
          yield* Effect.repeat(lockWaits, { until: (waiting) => waiting > 0, schedule: Schedule.spaced("2 millis") })
          yield* Fiber.interrupt(revoking)
          yield* Deferred.succeed(over, undefined)
          yield* Fiber.join(holding)
          yield* Effect.repeat(Effect.either(sessions.load(token)), {
            until: Either.isLeft,
            schedule: Schedule.spaced("5 millis")
          }).pipe(Effect.timeout("3 seconds"))
        }))

      it("the figures tell who is active, who began, and why and after how long others ended", () =>
        Effect.gen(function* () {
          const sessions = yield* Sessions.Sessions
          const before = yield* sessions.stats
          const lifetimesBefore = lifetimes()
          const userId = yield* user()
          const active = Effect.flatMap(SqlClient.SqlClient, (sql) => SessionRows.countLive(sql, new Date()))
          const alive = yield* active
          const made = yield* Effect.replicateEffect(signIn(userId), 2)
          yield* (yield* SqlClient.SqlClient)`
            update sessions set created_at = created_at - interval '7000 seconds' where id = ${made[0]!.session.id}::uuid`
          yield* sessions.revoke(userId, made[0]!.session.id, "signed_out")
          expect((yield* active) - alive).toBe(1)
          yield* sessions.revoke(userId, made[1]!.session.id, "revoked")
          const after = yield* sessions.stats
          expect(after.created - before.created).toBe(2)
          expect(after.ended - before.ended).toBe(2)
          for (const reason of ["signed_out", "revoked"] as const)
            expect((after.endedBy[reason] ?? 0) - (before.endedBy[reason] ?? 0)).toBe(1)
          expect(after.meanSeconds).toBeGreaterThanOrEqual(0)
          // One ended within a minute, the other after nearly two hours.
          const more = lifetimes().buckets.map(([upTo, count], index) => [
            upTo,
            count - lifetimesBefore.buckets[index]![1]
          ])
          expect(more).toEqual([
            [60, 1],
            [300, 1],
            [900, 1],
            [3_600, 1],
            [14_400, 2],
            [86_400, 2],
            [604_800, 2],
            [2_592_000, 2],
            [Infinity, 2]
          ])
          const seconds = lifetimes().sum - lifetimesBefore.sum
          expect(seconds).toBeGreaterThanOrEqual(7_000)
          expect(seconds).toBeLessThan(7_060)
        }))

      it("nobody can revoke another user's session, or one that is over", () =>
        Effect.gen(function* () {
          const sessions = yield* Sessions.Sessions
          const userId = yield* user()
          const { session } = yield* signIn(userId)
          expect(yield* Effect.flip(sessions.revoke(yield* user(), session.id, "revoked"))).toBeInstanceOf(NotFound)
          yield* sessions.revoke(userId, session.id, "revoked")
          expect(yield* Effect.flip(sessions.revoke(userId, session.id, "revoked"))).toBeInstanceOf(NotFound)
        }))

      it("revoking all but one leaves that one", () =>
        Effect.gen(function* () {
          const sessions = yield* Sessions.Sessions
          const userId = yield* user()
          const made = yield* Effect.replicateEffect(signIn(userId), perUserMax)
          const kept = made[1]!
          for (const { token } of made) yield* sessions.load(token)
          expect(yield* sessions.revokeAll(userId, "password_changed", kept.session.id)).toBe(perUserMax - 1)
          for (const { session, token } of made) {
            const alive = yield* Effect.isSuccess(sessions.load(token))
            expect(alive).toBe(session.id === kept.session.id)
          }
        }))

      it("a sweep ends what has expired and deletes what ended long ago", () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const sessions = yield* Sessions.Sessions
          const userId = yield* user()
          const expired = yield* signIn(userId)
          const ancient = yield* signIn(userId)
          yield* sql`update sessions set expires_at = now() - interval '1 minute' where id = ${expired.session.id}::uuid`
          yield* sql`update sessions set ended_at = now() - interval '31 days' where id = ${ancient.session.id}::uuid`
          expect(yield* sessions.sweep).toEqual({ expired: 1, deleted: 1 })
          expect(yield* Effect.flip(sessions.load(expired.token))).toBeInstanceOf(SessionExpired)
          expect(yield* ended(sessions, expired.session)).toBe("expired")
          expect(yield* sessions.sweep).toEqual({ expired: 0, deleted: 0 })
        }))

      it("a sign-in that replaces a session ends it in the same step, whatever the limit", () =>
        Effect.gen(function* () {
          const sessions = yield* Sessions.Sessions
          const userId = yield* user()
          const made = yield* Effect.replicateEffect(signIn(userId), perUserMax)
          const { session } = made[0]!
          const next = yield* sessions.create(userId, { userAgent: Option.none(), replacing: session.id })
          expect(next.token).not.toBe(made[0]!.token)
          expect(yield* ended(sessions, session)).toBe("rotated")
          expect(yield* Effect.flip(sessions.load(made[0]!.token))).toBeInstanceOf(SessionExpired)
          for (const { token } of [...made.slice(1), next]) yield* sessions.load(token)
        }))

      it("whoever was signed out by a ban is told so for as long as it lasts, and cannot sign in", () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const sessions = yield* Sessions.Sessions
          const userId = yield* user()
          const { token } = yield* signIn(userId)
          const until = new Date(Date.now() + 3_600_000)
          yield* sql`
            insert into moderation_actions (id, subject_id, kind, reason, client_key, starts_at, expires_at)
            values (${yield* Ids.make(Ids.ModerationActionId)}::uuid, ${userId}::uuid, 'BAN', 'Spam', 'k', now(), ${until})`
          yield* sessions.revokeAll(userId, "banned")
          const banned = new Restricted({ kind: "BAN", expiresAt: until })
          expect(yield* Effect.flip(sessions.load(token))).toEqual(banned)
          expect(yield* Effect.flip(signIn(userId))).toEqual(banned)
          expect(yield* sessions.list(userId)).toEqual([])
          yield* sql`update moderation_actions set revoked_at = now() where subject_id = ${userId}::uuid`
          yield* signIn(userId)
        }))

      it("a session does not outlive its user", () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const sessions = yield* Sessions.Sessions
          const userId = yield* user()
          const { session, token } = yield* signIn(userId)
          yield* sessions.load(token)
          yield* sessions.revokeAll(userId, "erased")
          yield* sql`delete from users where id = ${userId}::uuid`
          expect(yield* Effect.flip(sessions.load(token))).toBeInstanceOf(SessionExpired)
          expect(yield* ended(sessions, session)).toBe("erased")
          expect(yield* sql`select 1 from sessions where id = ${session.id}::uuid`).toEqual([])
        }))

      it("a session in use is renewed by the look-up in the database", () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const sessions = yield* Sessions.Sessions
          const { session, token } = yield* signIn(yield* user())
          yield* sql`update sessions set last_used_at = now() - interval '1 hour', expires_at = now() + interval '1 hour'
            where id = ${session.id}::uuid`
          const loaded = yield* sessions.load(token)
          expect(Date.now() - loaded.lastUsedAt.getTime()).toBeLessThan(10_000)
          expect(loaded.expiresAt.getTime() - Date.now()).toBeGreaterThan(Duration.toMillis("6 days"))
        }))

      it("many sign-ins of one user at once never leave more sessions than the limit", () =>
        Effect.gen(function* () {
          const sessions = yield* Sessions.Sessions
          const runtime = yield* Effect.runtime<SqlClient.SqlClient | Sessions.Sessions>()
          const run = <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient | Sessions.Sessions>) =>
            Effect.runPromise(Effect.provide(effect, runtime))
          yield* Effect.promise(() =>
            fc.assert(
              fc.asyncProperty(fc.scheduler(), fc.integer({ min: 2, max: 8 }), async (scheduler, count) => {
                const userId = await run(user())
                const create = scheduler.scheduleFunction(() => run(signIn(userId)))
                const all = Array.from({ length: count }, () => create())
                await scheduler.waitAll()
                const made = await Promise.all(all)
                const live = await run(sessions.list(userId))
                expect(live.length).toBe(Math.min(count, perUserMax))
                const loads = await Promise.all(made.map(({ token }) => run(Effect.isSuccess(sessions.load(token)))))
                expect(loads.filter((ok) => ok).length).toBe(live.length)
              }),
              { numRuns: 8 }
            )
          )
        }))
    }
  )

/** A session whose row says other times. */
const aged = (change: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const made = yield* signIn(yield* user())
    yield* sql`update sessions set ${sql.literal(change)} where id = ${made.session.id}::uuid`
    return made
  })

withLayer(
  "Timeouts of sessions",
  Sessions.layer.pipe(
    Layer.provideMerge(
      Layer.mergeAll(Postgres.layerDatabase, Settings.layerTest(), StoreMemory.layer, Broadcast.layerLocal)
    )
  ),
  (it) => {
    it("a session that was not used for seven days is over", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions.Sessions
        const { session, token } = yield* signIn(yield* user())
        expect(session.expiresAt.getTime() - session.createdAt.getTime()).toBe(Duration.toMillis("7 days"))
        // Used just now: its row is not written again.
        expect(yield* sessions.load(token)).toEqual(session)
        const active = Effect.flatMap(SqlClient.SqlClient, (sql) => SessionRows.countLive(sql, new Date()))
        const alive = yield* active
        const unused = yield* aged("last_used_at = now() - interval '7 days', expires_at = now() - interval '1 second'")
        for (let n = 0; n < 2; n++)
          expect(yield* Effect.flip(sessions.load(unused.token))).toBeInstanceOf(SessionExpired)
        expect(yield* sessions.list(unused.session.userId)).toEqual([])
        expect(yield* active).toBe(alive)
      }))

    it("no use carries a session beyond thirty days", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions.Sessions
        const old = yield* aged(
          "last_used_at = now() - interval '1 day', absolute_expires_at = now() + interval '1 hour'"
        )
        const { expiresAt } = yield* sessions.load(old.token)
        expect(expiresAt.getTime() - Date.now()).toBeLessThanOrEqual(Duration.toMillis("1 hour"))
        const [row] = yield* (yield* SqlClient.SqlClient)<{ days: number }>`
          select (extract(epoch from absolute_expires_at - created_at) / 86400)::int as days from sessions
          where id = ${(yield* signIn(yield* user())).session.id}::uuid`
        expect(row!.days).toBe(30)
      }))
  }
)

withLayer(
  "Sessions at a limit that refuses",
  Sessions.layer.pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        Postgres.layerDatabase,
        Settings.layerTest((shape) => ({ ...shape, session: { ...shape.session, perUserMax: 2, atLimit: "refuse" } })),
        StoreMemory.layer,
        Broadcast.layerLocal
      )
    )
  ),
  (it) =>
    it("one more sign-in is refused, and those before it live on", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const sessions = yield* Sessions.Sessions
        const userId = yield* user()
        const outcomes = yield* Effect.all(
          Array.from({ length: 5 }, () => Effect.either(signIn(userId))),
          { concurrency: "unbounded" }
        )
        const made = outcomes.flatMap((one) => (Either.isRight(one) ? [one.right] : []))
        expect(made.length).toBe(2)
        for (const one of outcomes) if (Either.isLeft(one)) expect(one.left).toBeInstanceOf(Conflict)
        for (const { token } of made) yield* sessions.load(token)
        yield* sessions.create(userId, { userAgent: Option.none(), replacing: made[0]!.session.id })
        // One that has expired is none, though no sweep has ended it yet.
        const past = sql`update sessions set expires_at = now() - interval '1 second' where id = ${made[1]!.session.id}::uuid`
        yield* Effect.zipRight(past, signIn(userId))
      }))
)

/** A store that counts what it is asked, and is shared as Redis is. */
const counting = (store: typeof Store.Service, asked: Array<string>): typeof Store.Service =>
  new Proxy(store, {
    get: (target, name: keyof typeof store) => {
      const value = name === "backend" ? "redis" : target[name]
      if (typeof value !== "function") return value
      return (...args: ReadonlyArray<never>) => {
        asked.push(name)
        return (value as (...args: ReadonlyArray<never>) => unknown)(...args)
      }
    }
  })

withLayer("The way to a session", Layer.mergeAll(Postgres.layerDatabase, settings), (it) =>
  it("what the Store has is one read of it for all who ask in one turn, and what is near none", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const store = counting(yield* StoreMemory.make(), asked)
      const node = Effect.map(
        Layer.build(
          Layer.fresh(Sessions.layer).pipe(
            Layer.provide(Layer.fresh(Layer.provideMerge(Broadcast.layerLocal, Layer.succeed(Store, store))))
          )
        ),
        (context) => Context.get(context, Sessions.Sessions)
      )
      const [here, there] = [yield* node, yield* node]
      const made = yield* Effect.replicateEffect(
        Effect.flatMap(user(), (userId) => here.create(userId, { userAgent: Option.none() })),
        2
      )
      const tokens = made.map(({ token }) => token)
      yield* Effect.forEach(tokens, here.load)
      // Without their rows, only the Store can know them.
      yield* (yield* SqlClient.SqlClient)`delete from sessions where id = any(${made.map(({ session }) => session.id)}::uuid[])`
      asked.length = 0
      yield* Effect.forEach([...tokens, ...tokens], there.load, { concurrency: "unbounded" })
      expect(asked).toEqual(["getMany"])
      yield* Effect.forEach(tokens, there.load)
      expect(tokens.map((token) => Exit.isExit(there.known(token)))).toEqual([true, true])
      expect(asked).toEqual(["getMany"])
    }))
)

contract("store in memory", StoreMemory.layer)
contract("store on Redis", Redis.layerStore)

const two = (name: string, between: Layer.Layer<Store | Broadcast.Broadcast>) =>
  withLayer(`Sessions of two processes: ${name}`, Layer.mergeAll(Postgres.layerDatabase, settings), (it) =>
    it("a session revoked on one is over on the other at once, its sockets included", () =>
      Effect.gen(function* () {
        const node = Effect.map(
          Layer.build(Layer.fresh(Sessions.layer).pipe(Layer.provide(Layer.fresh(between)))),
          (context) => Context.get(context, Sessions.Sessions)
        )
        const here = yield* node
        const there = yield* node
        const userId = yield* user()
        const made = yield* Effect.replicateEffect(here.create(userId, { userAgent: Option.none() }), 2)
        for (const { token } of made) yield* Effect.all([here.load(token), there.load(token)])
        const reasons = yield* Effect.forEach(made, ({ session }) => ending(there, session))
        yield* here.revokeAll(userId, "revoked")
        expect(yield* Effect.all(reasons)).toEqual(["revoked", "revoked"])
        for (const { token } of made) expect(yield* Effect.flip(there.load(token))).toBeInstanceOf(SessionExpired)
      }))
  )

two("Redis between them", Layer.provideMerge(Broadcast.layerStore, Redis.layerStore))
two("nothing but Postgres", Layer.provideMerge(Broadcast.layerLocal, StoreMemory.layer))
