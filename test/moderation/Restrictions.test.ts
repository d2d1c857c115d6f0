import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as fc from "fast-check"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import { ModerationActionId, UserId } from "../../src/domain/Ids.ts"
import * as Uuid from "../../src/domain/Uuid.ts"
import { Action } from "../../src/moderation/Action.ts"
import * as RestrictionsModule from "../../src/moderation/Restrictions.ts"
import { isInForce, Restrictions } from "../../src/moderation/Restrictions.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const layer = RestrictionsModule.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(Postgres.layerDatabase, Broadcast.layerLocal))
)

const someone = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const id = UserId.make(yield* Uuid.v7)
  const now = new Date(yield* Clock.currentTimeMillis)
  yield* sql`
    insert into users (id, handle, display_name, created_at, updated_at)
    values (${id}::uuid, ${`u${id.slice(-12)}`}, 'U', ${now}::timestamptz, ${now}::timestamptz)`
  return id
})

const impose = (subject: UserId, kind: string, seconds: number | null) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const id = yield* Uuid.v7
    const now = yield* Clock.currentTimeMillis
    const expires = seconds === null ? null : new Date(now + seconds * 1_000)
    yield* sql`
      insert into moderation_actions (id, subject_id, kind, reason, client_key, starts_at, expires_at)
      values (${id}::uuid, ${subject}::uuid, ${kind}, 'test', ${id}, ${new Date(now)}::timestamptz, ${expires}::timestamptz)`
    return id
  })

it("an action has its effect until just before it expires, cached or not, without any job", () =>
  Effect.gen(function* () {
    const restrictions = yield* Restrictions
    const user = yield* someone
    yield* impose(user, "MUTE", 60)
    const muted = Effect.map(restrictions.inForce(user, ["MUTE"]), Option.isSome)
    expect(yield* muted).toBe(true)
    yield* TestClock.adjust("59 seconds")
    expect(yield* muted).toBe(true)
    yield* TestClock.adjust("999 millis")
    expect(yield* muted).toBe(true)
    yield* TestClock.adjust("1 millis")
    expect(yield* muted).toBe(false)
    yield* restrictions.invalidate(user)
    expect(yield* muted).toBe(false)
    yield* restrictions.refuse(user, ["MUTE", "BAN"])
  }).pipe(Effect.provide(layer)))

it("of several in force the one that ends last counts, and only the kinds asked for", () =>
  Effect.gen(function* () {
    const restrictions = yield* Restrictions
    const user = yield* someone
    yield* impose(user, "BAN", 100)
    const longer = yield* impose(user, "MUTE", 200)
    yield* impose(user, "BAN", 50)
    const refused = yield* Effect.flip(restrictions.refuse(user, ["BAN", "MUTE"]))
    expect(refused).toMatchObject({ _tag: "Restricted", kind: "MUTE" })
    expect(Option.getOrThrow(yield* restrictions.inForce(user, ["BAN", "MUTE"])).id as string).toBe(longer)
    yield* restrictions.refuse(user, ["SHADOW_BAN"])
    const endless = yield* impose(user, "BAN", null)
    yield* restrictions.invalidate(user)
    expect(Option.getOrThrow(yield* restrictions.inForce(user, ["BAN"])).id as string).toBe(endless)
    expect((yield* restrictions.list(user)).length).toBe(4)
  }).pipe(Effect.provide(layer)))

it("a new action is seen at once after its invalidation, and after the cache's time without one", () =>
  Effect.gen(function* () {
    const restrictions = yield* Restrictions
    const user = yield* someone
    expect(yield* restrictions.list(user)).toEqual([])
    yield* impose(user, "MUTE", 1_000)
    expect(yield* restrictions.list(user)).toEqual([])
    yield* restrictions.invalidate(user)
    expect((yield* restrictions.list(user)).length).toBe(1)
    yield* impose(user, "BAN", 1_000)
    yield* TestClock.adjust(RestrictionsModule.cacheTtl)
    expect((yield* restrictions.list(user)).length).toBe(2)
  }).pipe(Effect.provide(layer)))

it("what other processes change is forgotten here", () =>
  Effect.gen(function* () {
    const restrictions = yield* Restrictions
    const broadcast = yield* Broadcast.Broadcast
    const user = yield* someone
    yield* restrictions.list(user)
    yield* impose(user, "BAN", null)
    yield* broadcast.publish("moderation", { userId: user })
    yield* Effect.yieldNow()
    yield* Effect.yieldNow()
    expect((yield* restrictions.list(user)).length).toBe(1)
  }).pipe(Effect.provide(layer)))

it("who is restricted is whoever has an unrevoked interval around now", () =>
  Effect.sync(() => {
    const action = (ends: number | null, revoked: boolean) =>
      new Action({
        id: ModerationActionId.make("a"),
        subjectId: UserId.make("s"),
        actorId: null,
        kind: "BAN",
        reason: "r",
        messageId: null,
        interactionId: null,
        reportId: null,
        startsAt: new Date(0),
        expiresAt: ends === null ? null : new Date(ends),
        revokedAt: revoked ? new Date(0) : null
      })
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.option(fc.nat(100)), fc.boolean())), fc.nat(110), (all, now) => {
        const model = Math.max(-1, ...all.flatMap(([ends, revoked]) => (revoked ? [] : [ends ?? Infinity]))) > now
        expect(all.some(([ends, revoked]) => isInForce(action(ends, revoked), now))).toBe(model)
      })
    )
  }))
