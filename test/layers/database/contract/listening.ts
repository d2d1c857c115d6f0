import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { Database } from "../../../../src/database/Database.ts"
import type { Notice } from "../../../../src/database/Listening.ts"
import { type SqlTest, until } from "./SqlTest.ts"

const gap: Notice = { _tag: "Gap" }
const notified = (payload: string): Notice => ({ _tag: "Notified", payload })

/** What a channel says, one after the other; listening in the background. */
const listened = (channel: string) =>
  Effect.gen(function* () {
    const database = yield* Database
    const notices = yield* Queue.unbounded<Notice>()
    const fiber = yield* Effect.forkDaemon(
      Stream.runForEach(database.listen(channel), (notice) => Queue.offer(notices, notice))
    )
    return { next: Effect.timeout(Queue.take(notices), "5 seconds"), stop: Fiber.interrupt(fiber) }
  })

export const listening = (sqlTest: SqlTest): void => {
  sqlTest("who listens is told to read first, and then what is said, in its order", (sql) =>
    Effect.gen(function* () {
      const { next, stop } = yield* listened('odd "name')
      expect(yield* next).toEqual(gap)
      for (const payload of ["1", "", "three"]) yield* sql`select pg_notify('odd "name', ${payload})`
      yield* sql`select pg_notify('another', 'no')`
      yield* Effect.ignore(
        sql.withTransaction(Effect.zipRight(sql`select pg_notify('odd "name', 'no')`, Effect.fail(1)))
      )
      yield* sql`select pg_notify('odd "name', 'last')`
      for (const payload of ["1", "", "three", "last"]) expect(yield* next).toEqual(notified(payload))
      yield* stop
    })
  )

  sqlTest("who begins to listen while others are in a transaction hears, though that is rolled back", (sql) =>
    Effect.gen(function* () {
      const during = yield* Deferred.make<Effect.Effect.Success<ReturnType<typeof listened>>>()
      const begin = Effect.gen(function* () {
        yield* sql`select 1`
        const ear = yield* listened("during")
        yield* ear.next
        yield* Deferred.succeed(during, ear)
      })
      const nested = sql.withTransaction(Effect.zipRight(begin, Effect.fail("no")))
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(Effect.ignore(nested), Effect.fail("no"))))
      const { next, stop } = yield* Deferred.await(during)
      yield* sql`select pg_notify('during', 'after')`
      expect(yield* next).toEqual(notified("after"))
      yield* stop
    })
  )
}

/** For servers, whose connections can be lost. */
export const relistening = (sqlTest: SqlTest): void => {
  sqlTest("who listens is told of the gap when its connection was lost, and hears again within a second", (sql) =>
    Effect.gen(function* () {
      const cut = sql`select pg_terminate_backend(pid) from pg_stat_activity
        where query = 'listen "news"' and datname = current_database()`
      const { next, stop } = yield* listened("news")
      expect(yield* next).toEqual(gap)
      for (const round of ["1", "2", "3"]) {
        yield* until(cut, (rows) => rows.length === 1)
        yield* sql`select pg_notify('news', 'missed, or not')`
        const [took] = yield* Effect.timed(Effect.repeat(next, { until: ({ _tag }) => _tag === "Gap" }))
        expect(Duration.toMillis(took)).toBeLessThan(1_000)
        yield* sql`select pg_notify('news', ${round})`
        expect(yield* next).toEqual(notified(round))
      }
      yield* stop
      yield* until(cut, (rows) => rows.length === 0)
    })
  )
}
