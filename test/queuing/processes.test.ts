import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as fc from "fast-check"
import type { ActorSystem } from "../../src/actor/ActorSystem.ts"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import type { TicketId, UserId } from "../../src/domain/Ids.ts"
import { Queue } from "../../src/queuing/Queue.ts"
import { defaultPool, QueueActor } from "../../src/queuing/QueueActor.ts"
import { withLayer } from "../kit/effect.ts"
import { block, database, emptied, eventually, matchedPairs, people, process, sorted } from "./fixtures.ts"
import { pairLevel } from "./model.ts"

interface Step {
  readonly does: "join" | "leave" | "block" | "end" | "pass"
  readonly process: number
  readonly user: number
  readonly other: number
}

const userCount = 10
const step: fc.Arbitrary<Step> = fc.record({
  does: fc.constantFrom("join", "join", "join", "join", "leave", "block", "end", "pass"),
  process: fc.nat(1),
  user: fc.nat(userCount - 1),
  other: fc.nat(userCount - 1)
})
/** The steps of one round run at the same time; the next round begins when all of them are done. */
const plan = fc.record({
  rounds: fc.array(fc.array(step, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 6 }),
  /** Whether the two processes hear each other. */
  hearing: fc.boolean()
})

/** What one of two processes on one database gives a test. */
type Side = Context.Context<Queue | ActorSystem>

const sides = (hearing: boolean) => {
  const one = process({ interval: Duration.hours(1), capacity: 100 })
  const deaf = one.pipe(Layer.provide(Layer.fresh(Broadcast.layerLocal)))
  return Effect.all([Layer.build(Layer.fresh(hearing ? one : deaf)), Layer.build(Layer.fresh(hearing ? one : deaf))])
}

const pass = (side: Side) =>
  Effect.flatMap(QueueActor.client, (queue) => queue.ask(defaultPool).Process()).pipe(Effect.provide(side))

/** Pairs that were blocked when they had not been matched yet: they must never be. */
const blockNow = (a: UserId, b: UserId) =>
  Effect.gen(function* () {
    yield* block(a, b)
    const matched = yield* matchedPairs
    return matched.some((pair) => pair.join() === sorted(a, b).join()) ? [] : [sorted(a, b).join()]
  })

const endFor = (userId: UserId) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`update interactions i set state = 1 from participants p
                 where p.interaction_id = i.id and p.user_id = ${userId}::uuid`
  )

/** The pairs that must not be matched from now on. */
type Performed = Effect.Effect<ReadonlyArray<string>, unknown, SqlClient.SqlClient>

const perform = (
  all: ReadonlyArray<Side>,
  users: ReadonlyArray<UserId>,
  key: string,
  { does, ...step }: Step
): Performed => {
  const side = all[step.process]!
  const queue = Context.get(side, Queue)
  const [user, other] = [users[step.user]!, users[step.other]!]
  switch (does) {
    case "join":
      return Effect.as(Effect.either(queue.join(user, { clientKey: key })), [])
    case "leave":
      return Effect.as(queue.leave(user), [])
    case "block":
      return user === other ? Effect.succeed([]) : blockNow(user, other)
    case "end":
      return Effect.as(endFor(user), [])
    case "pass":
      return Effect.as(pass(side), [])
  }
}

interface Row {
  readonly id: TicketId
  readonly userId: string
  readonly interests: ReadonlyArray<string>
  readonly languages: ReadonlyArray<string>
  readonly region: string | null
}

const waitingRows = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<Row>`
    select id, user_id as "userId", interests, languages, region from tickets where state = 0 order by created_at, id`
)

/** Matches whose rows do not fit together: each has two tickets of two people who take part in its interaction. */
const broken = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ readonly id: string }>`
    select m.id::text from matches m
    left join match_tickets k on k.match_id = m.id
    left join tickets t on t.id = k.ticket_id and t.state = 1
    left join participants p on p.interaction_id = m.interaction_id and p.user_id = t.user_id
    group by m.id having count(distinct t.user_id) <> 2 or count(distinct p.user_id) <> 2
    union all
    select t.id::text from tickets t left join match_tickets k on k.ticket_id = t.id
    where (t.state = 1) <> (k.ticket_id is not null)`
)

/** How often each pair has been matched; none may meet again so soon. */
const repeated = Effect.map(matchedPairs, (pairs) =>
  pairs.map((pair) => pair.join()).filter((pair, at, all) => all.indexOf(pair) !== at)
)

const run = ({ hearing, rounds }: typeof plan extends fc.Arbitrary<infer A> ? A : never) =>
  Effect.gen(function* () {
    const [eu, us] = [yield* people(6, { region: "eu" }), yield* people(4, { interests: ["chess", "go"] })]
    const users = [...eu, ...us]
    const all = yield* sides(hearing)
    const forbidden: Array<string> = []
    for (const [round, steps] of rounds.entries()) {
      const found = yield* Effect.forEach(steps, (one, at) => perform(all, users, `${round}-${at}`, one), {
        concurrency: "unbounded"
      })
      forbidden.push(...found.flat())
    }
    // Twice each: what one process gives back is for both to find.
    yield* Effect.forEach([...all, ...all], pass, { discard: true })

    const blocked = (a: string, b: string) =>
      Effect.map(
        Effect.flatMap(
          SqlClient.SqlClient,
          (sql) => sql`select from blocks where (blocker_id, blocked_id) in
                       ((${a}::uuid, ${b}::uuid), (${b}::uuid, ${a}::uuid))`
        ),
        (rows) => rows.length > 0
      )
    const met = new Set((yield* matchedPairs).map((pair) => pair.join()))
    const mayMeet = Effect.gen(function* () {
      const rows = yield* waitingRows
      const pairs: Array<string> = []
      for (const [at, a] of rows.entries())
        for (const b of rows.slice(at + 1)) {
          const suits = pairLevel({ ...a, createdAt: 0 }, { ...b, createdAt: 0 }) === 0
          if (
            suits &&
            !met.has(sorted(a.userId as UserId, b.userId as UserId).join()) &&
            !(yield* blocked(a.userId, b.userId))
          )
            pairs.push(`${a.id} ${b.id}`)
        }
      return pairs
    })
    yield* eventually(mayMeet, (pairs) => pairs.length === 0)

    expect(yield* broken).toEqual([])
    expect(yield* repeated).toEqual([])
    expect(forbidden.filter((pair) => met.has(pair))).toEqual([])
    const disagreements = Effect.gen(function* () {
      const waiting = new Set((yield* waitingRows).map(({ id }) => id as string))
      const sql = yield* SqlClient.SqlClient
      const tickets = yield* sql<{ readonly id: TicketId }>`select id from tickets`
      const known = yield* Effect.forEach(all, (side) =>
        Effect.filter(tickets, ({ id }) => Effect.map(Context.get(side, Queue).explain(id), Option.isSome))
      )
      return known.flatMap((ids) => tickets.filter((one) => waiting.has(one.id) !== ids.includes(one)))
    })
    yield* eventually(disagreements, (ids) => ids.length === 0)
  }).pipe(Effect.scoped, emptied)

withLayer("two processes that match on one database", database, (it) => {
  it(
    "match nobody twice, with themselves or across a block, and both end up with what the database has (M10, M11)",
    () =>
      Effect.flatMap(Effect.runtime<SqlClient.SqlClient | Broadcast.Broadcast>(), (runtime) =>
        Effect.promise(() =>
          fc.assert(
            fc.asyncProperty(plan, (one) => Effect.runPromise(Effect.provide(run(one), runtime))),
            { numRuns: 12, endOnFailure: true }
          )
        )
      ),
    60_000
  )
})
