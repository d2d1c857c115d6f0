import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { UserId } from "../../src/domain/Ids.ts"
import * as Uuid from "../../src/domain/Uuid.ts"
import * as Claims from "../../src/queuing/Claims.ts"
import * as TicketTable from "../../src/queuing/TicketTable.ts"
import { withLayer } from "../kit/effect.ts"
import { block, database, emptied, matchedPairs, people, sorted, ticketStates } from "./fixtures.ts"

const recentMillis = 60_000

const limits = Effect.map(Clock.currentTimeMillis, (now) => ({
  now: new Date(now),
  recentMillis,
  idleMillis: 60_000,
  activeMax: 10
}))

/** Waiting tickets of these people, by person. */
const tickets = (users: ReadonlyArray<UserId>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const drafts = yield* Effect.forEach(users, (userId) =>
      Effect.map(Effect.all([Uuid.v7, Clock.currentTimeMillis]), ([id, createdAt]) => ({
        id,
        userId,
        clientKey: id,
        interests: ["chess"],
        languages: ["en"],
        region: null,
        createdAt,
        room: true
      }))
    )
    yield* TicketTable.join(sql, drafts, yield* limits)
    return new Map(drafts.map(({ id, userId }) => [userId, id]))
  })

const claim = (made: ReadonlyMap<UserId, string>, a: UserId, b: UserId) =>
  Effect.map(Effect.all([Uuid.v7, Uuid.v7]), ([matchId, interactionId]): Claims.Claim => ({
    matchId,
    interactionId,
    first: made.get(a)!,
    second: made.get(b)!,
    users: [a, b],
    level: 0,
    score: 4,
    sharedInterests: ["chess"]
  }))

const settle = (claims: ReadonlyArray<Claims.Claim>) =>
  Effect.gen(function* () {
    return yield* Claims.settle(yield* SqlClient.SqlClient, claims, yield* limits)
  })

withLayer("the database, asked to make a match,", database, (it) => {
  it("refuses those of a batch that are blocked or just met, and makes the others", () =>
    Effect.gen(function* () {
      const [ada, bob, eve, dan, fay, gus] = (yield* people(6)) as [UserId, UserId, UserId, UserId, UserId, UserId]
      const before = yield* tickets([eve, dan])
      yield* settle([yield* claim(before, eve, dan)])
      const made = yield* tickets([ada, bob, eve, dan, fay, gus])
      yield* block(bob, ada)
      const claims = [yield* claim(made, ada, bob), yield* claim(made, eve, dan), yield* claim(made, fay, gus)]
      const [blocked, met, fine] = yield* settle(claims)
      expect(blocked).toEqual({ _tag: "Refused", waiting: [made.get(ada)!, made.get(bob)!], banned: [] })
      expect(met).toEqual({ _tag: "Refused", waiting: [made.get(eve)!, made.get(dan)!], banned: [] })
      expect(fine!._tag).toBe("Matched")
      expect((yield* matchedPairs).map(String)).toContain(String(sorted(fay, gus)))
      // With the match, the reminder that ends an interaction in which nobody writes.
      const sql = yield* SqlClient.SqlClient
      const reminders = claims.map(
        ({ interactionId }) => sql`select 1 from actor_reminders where id = ${interactionId}`
      )
      expect((yield* Effect.all(reminders)).map(({ length }) => length)).toEqual([0, 0, 1])
    }).pipe(emptied))

  it("gives a ticket that two claim at once to one of them", () =>
    Effect.gen(function* () {
      const [ada, bob, eve] = (yield* people(3)) as [UserId, UserId, UserId]
      const made = yield* tickets([ada, bob, eve])
      const outcomes = yield* Effect.all(
        [settle([yield* claim(made, ada, bob)]), settle([yield* claim(made, eve, ada)])],
        { concurrency: 2 }
      )
      const [[one], [other]] = outcomes
      expect([one!._tag, other!._tag].sort()).toEqual(["Matched", "Refused"])
      const loser = one!._tag === "Matched" ? eve : bob
      const refused = one!._tag === "Matched" ? other : one
      expect(refused).toEqual({ _tag: "Refused", waiting: [made.get(loser)!], banned: [] })
      expect([...(yield* ticketStates).values()].sort()).toEqual([0, 1, 1])
    }).pipe(emptied))

  it("lets a block wait until the claim that came first is committed", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [ada, bob] = (yield* people(2)) as [UserId, UserId]
      const made = yield* tickets([ada, bob])
      const one = yield* claim(made, ada, bob)
      const [claimed, mayCommit] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const claiming = yield* Effect.fork(
        sql.withTransaction(
          settle([one]).pipe(
            Effect.zipRight(Deferred.succeed(claimed, undefined)),
            Effect.zipRight(Deferred.await(mayCommit))
          )
        )
      )
      yield* Deferred.await(claimed)
      const blocking = yield* Effect.fork(block(ada, bob))
      yield* Effect.sleep("100 millis")
      expect(Option.isNone(yield* Fiber.poll(blocking))).toBe(true)
      yield* Deferred.succeed(mayCommit, undefined)
      yield* Fiber.join(claiming)
      yield* Fiber.join(blocking)
      expect(yield* matchedPairs).toEqual([sorted(ada, bob)])
    }).pipe(emptied))

  it("tells a join that comes again, comes twice or has no person from one that is made", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [ada, bob] = (yield* people(2)) as [UserId, UserId]
      const made = yield* tickets([ada])
      const draft = (userId: string, clientKey: string) =>
        Effect.map(Uuid.v7, (id): TicketTable.Draft => ({
          id,
          userId,
          clientKey,
          interests: [],
          languages: ["en"],
          region: null,
          createdAt: 1_700_000_000_123,
          room: true
        }))
      const joined = yield* TicketTable.join(
        sql,
        [yield* draft(ada, "other"), yield* draft(bob, "k"), yield* draft(yield* Uuid.v7, "k")],
        yield* limits
      )
      expect(joined).toMatchObject([
        { _tag: "Waiting", ticketId: made.get(ada)! },
        { _tag: "Made" },
        { _tag: "NoUser" }
      ])
      const [row] = yield* sql<{ readonly createdAt: Date }>`
        select created_at as "createdAt" from tickets where user_id = ${bob}::uuid`
      expect(row!.createdAt.getTime()).toBe(1_700_000_000_123)
    }).pipe(emptied))
})
