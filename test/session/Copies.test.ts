import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import { Broadcast, type Heard } from "../../src/broadcast/Broadcast.ts"
import * as Settings from "../../src/config/Settings.ts"
import type { Database } from "../../src/database/Database.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { DatabaseUnavailable, Restricted, SessionExpired, StoreUnavailable } from "../../src/errors.ts"
import * as Loading from "../../src/session/Loading.ts"
import * as Sessions from "../../src/session/Sessions.ts"
import * as Token from "../../src/session/Token.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import { ended, user } from "../kit/session.ts"

type Command = "getMany" | "set" | "setMany"

/** Somewhere a call can be held: `reached` when it is there, and it goes on when `opened`. */
const gate = Effect.map(Effect.all([Deferred.make<void>(), Deferred.make<void>()]), ([reached, open]) => ({
  reached: Deferred.await(reached),
  opened: Deferred.succeed(open, undefined),
  pass: Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(open))
}))

/**
 * Processes that share a Store and a Broadcast as they would a Redis. `before` is what a command waits for after it has
 * read and before it writes, or fails with; `tell` is heard by all of them.
 */
const world = Effect.gen(function* () {
  const memory = yield* StoreMemory.make()
  const before = new Map<Command, Effect.Effect<unknown, StoreUnavailable>>()
  const asked: Array<Command> = []
  const held = (command: Command) =>
    Effect.suspend(() => {
      asked.push(command)
      return before.get(command) ?? Effect.void
    })
  const store: typeof Store.Service = {
    ...memory,
    backend: "redis",
    getMany: (keys) => Effect.tap(memory.getMany(keys), held("getMany")),
    set: (...args) => Effect.zipRight(held("set"), memory.set(...args)),
    setMany: (...args) => Effect.zipRight(held("setMany"), memory.setMany(...args))
  }
  const heard = new Set<Heard<never>>()
  const tell = (signal: Parameters<Heard<unknown>>[0]) =>
    Effect.sync(() => heard.forEach((one) => one(signal as Parameters<Heard<never>>[0])))
  const broadcast = Broadcast.of({
    publish: (_, message) => tell({ _tag: "Message", message }),
    listen: (_, one) => Effect.sync(() => void heard.add(one))
  })
  const node = Effect.map(
    Layer.build(
      Layer.fresh(Sessions.layer).pipe(
        Layer.provide(Layer.merge(Layer.succeed(Store, store), Layer.succeed(Broadcast, broadcast)))
      )
    ),
    (context) => Context.get(context, Sessions.Sessions)
  )
  return { asked, before, node, tell }
})

const begin = (sessions: typeof Sessions.Sessions.Service, userId: Ids.UserId) =>
  sessions.create(userId, { userAgent: Option.none() })

const gap = { _tag: "Gap" } as const
const expired = new SessionExpired()
const away = new StoreUnavailable({ operation: "setMany", cause: new Error("away") })

const short = Settings.layerTest((shape) => ({
  ...shape,
  session: { ...shape.session, idle: Duration.seconds(5) }
}))

type Test = Effect.Effect<unknown, unknown, SqlClient.SqlClient | Database | Settings.Settings | Scope.Scope>

withLayer("Copies of sessions", Postgres.layerDatabase, (it) => {
  const claim = (name: string, body: Test, settings = Settings.layerTest()) =>
    it(name, () => body.pipe(Effect.provide(Layer.merge(settings, TestContext.TestContext))))

  claim(
    "no copy outlives its session",
    Effect.gen(function* () {
      const { asked, node } = yield* world
      const [here, there] = [yield* node, yield* node]
      const { token } = yield* begin(here, yield* user())
      yield* here.load(token)
      yield* TestClock.adjust("4999 millis")
      yield* here.load(token)
      yield* TestClock.adjust("1 millis")
      asked.length = 0
      expect(yield* Effect.flip(here.load(token))).toEqual(expired)
      expect(yield* Effect.flip(there.load(token))).toEqual(expired)
      expect(asked).toEqual(["getMany", "getMany"])
    }),
    short
  )

  claim(
    "a session that ends while its copy is being read is not given out",
    Effect.gen(function* () {
      const { before, node } = yield* world
      const [here, there] = [yield* node, yield* node]
      const userId = yield* user()
      const { session, token } = yield* begin(here, userId)
      yield* here.load(token)
      yield* TestClock.adjust("1 millis")
      const reading = yield* gate
      before.set("getMany", reading.pass)
      const loading = yield* Effect.fork(Effect.flip(there.load(token)))
      yield* reading.reached
      const told = yield* Effect.fork(ended(there, session))
      yield* here.revoke(userId, session.id, "revoked")
      yield* Fiber.join(told)
      yield* reading.opened
      expect(yield* Fiber.join(loading)).toEqual(expired)
    })
  )

  claim(
    "a look-up that began before the end does not put the session back",
    Effect.gen(function* () {
      const { before, node } = yield* world
      const [here, there] = [yield* node, yield* node]
      const userId = yield* user()
      const { session, token } = yield* begin(here, userId)
      const putting = yield* gate
      before.set("set", putting.pass)
      yield* Effect.fork(there.load(token))
      yield* putting.reached
      yield* here.revoke(userId, session.id, "revoked")
      yield* putting.opened
      yield* TestClock.adjust("1 millis")
      expect(yield* Effect.flip((yield* node).load(token))).toEqual(expired)
    })
  )

  claim(
    "an end that the Store did not take is written as soon as it does",
    Effect.gen(function* () {
      const { asked, before, node } = yield* world
      const here = yield* node
      const userId = yield* user()
      const { session, token } = yield* begin(here, userId)
      yield* here.load(token)
      before.set("setMany", away)
      yield* here.revoke(userId, session.id, "revoked")
      yield* TestClock.adjust("1 second")
      before.delete("setMany")
      yield* TestClock.adjust("100 millis")
      expect(yield* Effect.flip((yield* node).load(token))).toEqual(expired)
      asked.length = 0
      yield* TestClock.adjust("1 second")
      expect(asked).toEqual([])
    })
  )

  claim(
    "after a gap in the news what was near is read again, and waiters learn what they missed",
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { asked, before, node, tell } = yield* world
      const here = yield* node
      const [{ session, token }, other] = [yield* begin(here, yield* user()), yield* begin(here, yield* user())]
      yield* Effect.all([here.load(token), here.load(other.token)])
      const told = yield* Effect.fork(ended(here, session))
      yield* TestClock.adjust("1 second")
      yield* sql`update sessions set ended_at = now(), end_reason = 'revoked' where id = ${session.id}::uuid`
      yield* tell(gap)
      expect(yield* Fiber.join(told)).toBe("revoked")
      expect(here.known(other.token)).toBeUndefined()
      // A read that began before the gap answers who asked for it, and nobody after them.
      const reading = yield* gate
      before.set("getMany", reading.pass)
      const first = yield* Effect.fork(here.load(other.token))
      yield* reading.reached
      yield* tell(gap)
      yield* TestClock.adjust("1 millis")
      before.delete("getMany")
      asked.length = 0
      yield* here.load(other.token)
      expect(asked).toEqual(["getMany"])
      yield* tell(gap)
      yield* TestClock.adjust("1 millis")
      yield* reading.opened
      expect((yield* Fiber.join(first)).id).toBe(other.session.id)
      expect(here.known(other.token)).toBeUndefined()
    })
  )

  claim(
    "a token that is no good is asked for again after ten seconds",
    Effect.gen(function* () {
      const { asked, node } = yield* world
      const here = yield* node
      const token = yield* Token.make
      for (const wait of [0, 9_999, 1]) {
        yield* TestClock.adjust(wait)
        expect(yield* Effect.flip(here.load(token))).toEqual(expired)
      }
      expect(asked).toEqual(["getMany", "getMany"])
    })
  )

  claim(
    "whoever a ban signed out is told so no longer than it lasts",
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const here = yield* (yield* world).node
      const userId = yield* user()
      const { token } = yield* begin(here, userId)
      const until = new Date(3_000)
      yield* sql`
        insert into moderation_actions (id, subject_id, kind, reason, client_key, starts_at, expires_at)
        values (${yield* Ids.make(Ids.ModerationActionId)}::uuid, ${userId}::uuid, 'BAN', 'Spam', 'k', now(), ${until})`
      yield* here.revokeAll(userId, "banned")
      for (let second = 0; second < 3; second++) {
        expect(yield* Effect.flip(here.load(token))).toEqual(new Restricted({ kind: "BAN", expiresAt: until }))
        yield* TestClock.adjust("1 second")
      }
      expect(yield* Effect.flip(here.load(token))).toEqual(expired)
    })
  )

  it("no more wait for the Store than the bound, and who was answered waits no longer", () =>
    Effect.gen(function* () {
      const { before, node } = yield* world
      const [here, there] = [yield* node, yield* node]
      const [{ token }, other] = [yield* begin(here, yield* user()), yield* begin(here, yield* user())]
      yield* Effect.all([here.load(token), here.load(other.token)])
      const reading = yield* gate
      before.set("getMany", reading.pass)
      const waiting = yield* Effect.replicateEffect(Effect.fork(there.load(token)), Loading.waitingMax)
      yield* Effect.yieldNow({ priority: 1 })
      expect(yield* Effect.flip(there.load(token))).toBeInstanceOf(DatabaseUnavailable)
      yield* reading.opened
      yield* Fiber.joinAll(waiting)
      expect((yield* there.load(other.token)).id).toBe(other.session.id)
    }).pipe(Effect.provide(Settings.layerTest())))

  claim(
    "of a User-Agent what Postgres can hold is kept, and no more than anybody reads",
    Effect.gen(function* () {
      const here = yield* (yield* world).node
      const userAgent = Option.some(`Fire\u0000fox ${"x".repeat(1_000)}`)
      const { session } = yield* here.create(yield* user(), { userAgent })
      expect(session.userAgent).toBe(`Firefox ${"x".repeat(1_000)}`.slice(0, Sessions.userAgentMax))
    })
  )
})
