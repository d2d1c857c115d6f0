import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import * as Ids from "../../src/domain/Ids.ts"
import type { UserId } from "../../src/domain/Ids.ts"
import { Conflict, errors, QueueFull, Restricted } from "../../src/errors.ts"
import type { ActorSystem } from "../../src/actor/ActorSystem.ts"
import { Queue } from "../../src/queuing/Queue.ts"
import { defaultPool, QueueActor } from "../../src/queuing/QueueActor.ts"
import * as Cursor from "../../src/graphql/Cursor.ts"
import * as Blocks from "../../src/user/Blocks.ts"
import { withLayer } from "../kit/effect.ts"
import {
  block,
  type Change,
  database,
  emptied,
  eventually,
  matchedPairs,
  people,
  process,
  sorted,
  ticketStates
} from "./fixtures.ts"

/** A queue that goes over itself only when it starts. */
const never = { interval: Duration.hours(1) }

const widening = (...millis: readonly [number, number, number]) => ({
  ...never,
  widenAfter: millis.map(Duration.millis) as unknown as readonly [
    Duration.Duration,
    Duration.Duration,
    Duration.Duration
  ]
})

const join = (userId: UserId, clientKey = "key") => Effect.flatMap(Queue, (queue) => queue.join(userId, { clientKey }))

const matches = (count: number) => eventually(matchedPairs, (found) => found.length >= count)

const dropRefusal = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`drop function if exists refuse cascade`)

/** Runs a test in one process on an empty database. */
const alone =
  (change: Change) =>
  <A, E>(test: Effect.Effect<A, E, ActorSystem | Queue | SqlClient.SqlClient | Broadcast.Broadcast>) =>
    emptied(Effect.provide(test, process(change)))

withLayer("the queue", database, (it) => {
  it("two who suit each other are matched when the second joins", () =>
    Effect.gen(function* () {
      const queue = yield* Queue
      const [ada, bob] = yield* people(2)
      expect((yield* join(ada!)).state).toBe("WAITING")
      yield* join(bob!)
      expect(yield* matches(1)).toEqual([sorted(ada!, bob!)])
      const ticket = Option.getOrThrow(yield* queue.ticketOf(ada!))
      expect(ticket.state).toBe("MATCHED")
      const match = (yield* queue.matchesOf([ticket.id])).get(ticket.id)!
      expect(match).toMatchObject({ sharedInterests: ["chess"], level: 0, userIds: sorted(ada!, bob!) })
      expect(yield* queue.stats).toMatchObject({ waiting: 0, matchesPerMinute: 1 })
    }).pipe(alone(never)))

  it("the same key gives the same ticket, whatever has become of it", () =>
    Effect.gen(function* () {
      const [ada, bob] = yield* people(2)
      const [first, again] = yield* Effect.all([join(ada!), join(ada!)], { concurrency: 2 })
      expect(again.id).toBe(first.id)
      yield* join(bob!)
      yield* matches(1)
      expect(yield* join(ada!)).toMatchObject({ id: first.id, state: "MATCHED" })
    }).pipe(alone({ ...never, capacity: 2 })))

  it("another ticket while one waits is a conflict that names the one that waits", () =>
    Effect.gen(function* () {
      const [ada] = yield* people(1)
      const first = yield* join(ada!, "first")
      const error = yield* Effect.flip(join(ada!, "second"))
      expect(error).toBeInstanceOf(Conflict)
      expect(error.message).toContain(Ids.toGlobal("Ticket", first.id))
    }).pipe(alone(never)))

  it("of many who join at once, exactly as many as there is room for are let in", () =>
    Effect.gen(function* () {
      const queue = yield* Queue
      const languages = ["en", "de", "pt", "fr", "es", "it", "nl", "sv", "da", "fi"]
      const users = yield* Effect.forEach(languages, (language) => people(1, { languages: [language] }))
      const exits = yield* Effect.forEach(users, ([user]) => Effect.either(join(user!)), { concurrency: "unbounded" })
      expect(exits.filter((exit) => exit._tag === "Right").length).toBe(4)
      const refused = exits.flatMap((exit) => (exit._tag === "Left" ? [exit.left] : []))
      expect(refused).toEqual(refused.map(() => new QueueFull({ capacity: 4 })))
      const [inside] = users.filter((_, at) => exits[at]!._tag === "Right")
      const [outside] = users.filter((_, at) => exits[at]!._tag === "Left")
      expect(yield* join(inside![0]!)).toMatchObject({ state: "WAITING" })
      expect(yield* queue.leave(inside![0]!)).toBe(true)
      expect(yield* join(outside![0]!)).toMatchObject({ state: "WAITING" })
    }).pipe(alone({ ...never, capacity: 4 })))

  it("whoever has left is not matched, and leaving again says that nobody was waiting", () =>
    Effect.gen(function* () {
      const queue = yield* Queue
      const [ada, bob, eve] = yield* people(3)
      const ticket = yield* join(ada!)
      expect(yield* queue.leave(ada!)).toBe(true)
      expect(yield* queue.leave(ada!)).toBe(false)
      yield* join(bob!)
      yield* join(eve!)
      expect(yield* matches(1)).toEqual([sorted(bob!, eve!)])
      expect((yield* queue.ticket(ticket.id, ada!)).state).toBe("CANCELLED")
    }).pipe(alone(never)))

  it("the actor joins and leaves in the order of the calls, however many wait", () =>
    Effect.gen(function* () {
      const queue = (yield* QueueActor.client).ask(defaultPool)
      const [ada] = yield* people(1)
      const profile = { userId: ada!, interests: [], languages: ["en"], region: null }
      const calls = Array.from({ length: 5 }, (_, n) => [
        Effect.asVoid(queue.Join({ ...profile, clientKey: `k${n}` })),
        Effect.asVoid(queue.Leave({ userId: ada! }))
      ]).flat()
      yield* Effect.all(calls, { concurrency: "unbounded" })
      expect([...(yield* ticketStates).values()]).toEqual([2, 2, 2, 2, 2])
    }).pipe(alone(never)))

  it("whoever is in too many interactions waits for no more", () =>
    Effect.gen(function* () {
      const [ada, bob] = yield* people(2)
      yield* join(ada!)
      yield* join(bob!)
      yield* matches(1)
      expect(yield* Effect.flip(join(ada!, "next"))).toBeInstanceOf(Conflict)
    }).pipe(alone({ ...never, activeInteractionsMax: 1 })))

  it("a banned person cannot join, and one who is banned while waiting is not matched", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const queue = yield* Queue
      const [ada, bob, eve] = yield* people(3)
      const ban = (id: UserId) => sql`
      insert into moderation_actions (id, subject_id, kind, reason, client_key, starts_at)
      values (gen_random_uuid(), ${id}::uuid, 'BAN', 'spam', ${id}, now())`
      yield* ban(eve!)
      expect(yield* Effect.flip(join(eve!))).toBeInstanceOf(Restricted)
      const ticket = yield* join(ada!)
      yield* ban(ada!)
      yield* join(bob!)
      yield* eventually(queue.ticket(ticket.id, ada!), ({ state }) => state === "CANCELLED")
      expect(Option.getOrThrow(yield* queue.ticketOf(bob!)).state).toBe("WAITING")
    }).pipe(alone(never)))

  it("those who blocked each other, or just met, wait for others", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const queue = yield* Queue
      const [ada, bob, eve, dan] = yield* people(4)
      yield* block(bob!, ada!)
      const waiting = yield* join(ada!)
      yield* join(bob!)
      expect(Option.getOrThrow(yield* queue.explain(waiting.id)).levels[0]).toMatchObject({
        candidates: 0,
        failing: { apart: 1 }
      })
      yield* join(eve!)
      yield* join(dan!)
      expect((yield* matches(2)).length).toBe(2)
      const [first] = yield* matchedPairs
      yield* sql`update interactions set state = 1`
      for (const id of first!) yield* join(id as UserId, "again")
      yield* Effect.sleep("50 millis")
      expect((yield* matchedPairs).length).toBe(2)
    }).pipe(alone(never)))

  it("two who wait are matched when the last block between them is taken back", () =>
    Effect.gen(function* () {
      const blocks = yield* Blocks.Blocks
      const [ada, bob] = yield* people(2)
      yield* blocks.block(ada!, bob!)
      yield* blocks.block(bob!, ada!)
      yield* join(ada!)
      yield* join(bob!)
      yield* blocks.unblock(ada!, bob!)
      yield* Effect.sleep("30 millis")
      expect(yield* matchedPairs).toEqual([])
      yield* blocks.unblock(bob!, ada!)
      expect((yield* matches(1)).length).toBe(1)
    }).pipe(Effect.provide(Blocks.layer.pipe(Layer.provide(Cursor.layer))), alone(never)))

  it("a block that the index has not heard of is respected by the claim", () =>
    Effect.gen(function* () {
      const [ada, bob, eve] = yield* people(3)
      yield* join(ada!)
      yield* block(ada!, bob!)
      yield* join(bob!)
      yield* Effect.sleep("30 millis")
      expect(yield* matchedPairs).toEqual([])
      yield* join(eve!)
      expect((yield* matches(1)).flat()).toContain(eve!)
    }).pipe(alone(never)))

  it("two who share only their language are matched at the moment both have widened", () =>
    Effect.gen(function* () {
      const queue = yield* Queue
      const [ada] = yield* people(1, { interests: ["go"], region: "eu" })
      const [bob] = yield* people(1, { region: "us" })
      yield* join(ada!)
      yield* join(bob!)
      yield* matches(1)
      const ticket = Option.getOrThrow(yield* queue.ticketOf(bob!))
      const waited = ticket.endedAt!.getTime() - ticket.createdAt.getTime()
      expect(waited).toBeGreaterThanOrEqual(150)
      expect(waited).toBeLessThan(1_000)
      expect((yield* queue.matchesOf([ticket.id])).get(ticket.id)!.level).toBe(3)
    }).pipe(alone(widening(50, 100, 150))))

  it("a ticket that nobody suits expires", () =>
    Effect.gen(function* () {
      const queue = yield* Queue
      const [ada] = yield* people(1)
      const ticket = yield* join(ada!)
      yield* eventually(queue.ticket(ticket.id, ada!), ({ state }) => state === "EXPIRED")
      expect(Option.isNone(yield* queue.explain(ticket.id))).toBe(true)
    }).pipe(alone({ interval: Duration.millis(20), ticketTtl: Duration.millis(60) })))

  it("a pair that the database refuses harms no other", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [bad, ...others] = yield* people(9)
      yield* sql`create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$`
      yield* sql.unsafe(`create trigger refuse before insert on participants for each row
        when (new.user_id = '${bad}') execute function refuse()`)
      yield* Effect.forEach([bad!, ...others], (user) => join(user), { concurrency: "unbounded" })
      expect((yield* matches(4)).flat()).not.toContain(bad!)
    }).pipe(Effect.ensuring(Effect.orDie(dropRefusal)), alone(never)))

  it("connections that die at any moment cost nobody their ticket or their match", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const cut = sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where pid <> pg_backend_pid() and datname = current_database()`
      const users = yield* people(12)
      const cutting = yield* Effect.fork(
        Effect.repeat(Effect.ignore(cut), Schedule.intersect(Schedule.spaced("15 millis"), Schedule.recurs(15)))
      )
      yield* Effect.forEach(
        users,
        (user, n) =>
          Effect.zipRight(
            Effect.sleep(n * 20),
            Effect.retry(join(user), {
              while: ({ _tag }) => errors[_tag].retryable,
              schedule: Schedule.spaced("20 millis")
            })
          ),
        { concurrency: "unbounded" }
      )
      yield* cutting
      expect(new Set((yield* matches(6)).flat()).size).toBe(12)
    }).pipe(alone(never)))

  it("those who waited when the process ended wait after its restart, the oldest first", () =>
    Effect.gen(function* () {
      const [ada, bob, eve] = yield* people(3)
      yield* block(ada!, bob!)
      const first = yield* Effect.gen(function* () {
        const ticket = yield* join(ada!)
        yield* join(bob!)
        return ticket
      }).pipe(Effect.provide(process(never)))
      yield* Effect.gen(function* () {
        const queue = yield* Queue
        expect(yield* queue.ticket(first.id, ada!)).toMatchObject({ state: "WAITING", createdAt: first.createdAt })
        yield* join(eve!)
        expect(yield* matches(1)).toEqual([sorted(ada!, eve!)])
      }).pipe(Effect.provide(process(never)))
    }).pipe(emptied))

  it("tickets that other processes inserted are found at the next pass, although nobody said so", () =>
    Effect.gen(function* () {
      const build = Layer.build(
        process({ interval: Duration.millis(30) }).pipe(Layer.provide(Layer.fresh(Broadcast.layerLocal)))
      )
      const [one, other] = [Context.get(yield* build, Queue), Context.get(yield* build, Queue)]
      const [ada, bob] = yield* people(2)
      yield* one.join(ada!, { clientKey: "k" })
      yield* other.join(bob!, { clientKey: "k" })
      expect(yield* matches(1)).toEqual([sorted(ada!, bob!)])
    }).pipe(Effect.scoped, emptied))
})
