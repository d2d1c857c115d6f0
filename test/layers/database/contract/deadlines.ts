import { expect } from "bun:test"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Database } from "../../../../src/database/Database.ts"
import { isUnavailable, sqlState } from "../../../../src/database/SqlErrors.ts"
import * as Deadline from "../../../../src/request/Deadline.ts"
import { type SqlTest, table, until } from "./SqlTest.ts"

/** With this much time left. */
const within = <A, E, R>(millis: number, effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => Deadline.locally(effect, now + millis))

/** Statements of a request whose time runs out. For servers that can cancel. */
export const deadlines = (sqlTest: SqlTest): void => {
  sqlTest("a statement ends with the time of its request, here and on the server", (sql) =>
    Effect.gen(function* () {
      const database = yield* Database
      const [took, error] = yield* Effect.timed(Effect.flip(within(300, sql`select pg_sleep(20)`)))
      expect([sqlState(error), isUnavailable(error)]).toEqual(["57014", true])
      expect(Duration.toMillis(took)).toBeGreaterThan(280)
      expect(Duration.toMillis(took)).toBeLessThan(600)
      yield* until(database.stats, ({ pool }) => pool.inUse === 0)
      expect(
        yield* sql`select count(*)::int as n from pg_stat_activity
          where state = 'active' and query like 'select pg_sleep%' and datname = current_database()`
      ).toEqual([{ n: 0 }])
    })
  )

  sqlTest("a transaction whose time runs out is rolled back", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "n int")
      const late = sql.withTransaction(Effect.zipRight(sql`insert into things values (1)`, sql`select pg_sleep(20)`))
      expect(sqlState(yield* Effect.flip(within(100, late)))).toBe("57014")
      expect(yield* sql`select n from things`).toEqual([])
    })
  )

  sqlTest("who waits for a connection waits no longer than its request may take", (sql) =>
    Effect.gen(function* () {
      const database = yield* Database
      const busy = yield* Effect.fork(
        Effect.replicateEffect(sql`select pg_sleep(20)`, 10, { concurrency: "unbounded", discard: true })
      )
      yield* until(database.stats, ({ pool }) => pool.inUse === 10)
      const [took, error] = yield* Effect.timed(Effect.flip(within(100, sql`select 1`)))
      expect(isUnavailable(error)).toBe(true)
      expect(Duration.toMillis(took)).toBeLessThan(1_000)
      expect((yield* database.stats).pool.waiting).toBe(0)
      yield* Fiber.interrupt(busy)
    })
  )

  sqlTest("a request that is over starts no statement, and may clean up behind itself", (sql) =>
    Effect.gen(function* () {
      const database = yield* Database
      const { pool } = yield* database.stats
      expect(sqlState(yield* Effect.flip(within(0, sql`select 1`)))).toBe("57014")
      expect((yield* database.stats).pool).toEqual(pool)
      expect(yield* within(0, Effect.uninterruptible(sql`select 1 as a`))).toEqual([{ a: 1 }])
    })
  )
}
