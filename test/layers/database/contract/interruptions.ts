import { expect } from "bun:test"
import type { SqlError } from "@effect/sql/SqlError"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Database } from "../../../../src/database/Database.ts"
import { isUnavailable, orUnavailable, sqlState } from "../../../../src/database/SqlErrors.ts"
import { type SqlTest, table, until } from "./SqlTest.ts"

/** Callers that leave, connections that break and statements that take too long. For servers that can cancel. */
export const interruptions = (sqlTest: SqlTest): void => {
  sqlTest("an interrupted statement frees its caller at once and its connection soon", (sql) =>
    Effect.gen(function* () {
      const database = yield* Database
      const fiber = yield* Effect.fork(sql`select pg_sleep(20)`)
      yield* until(database.stats, ({ pool }) => pool.inUse === 1)
      const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
      expect(Duration.toMillis(took)).toBeLessThan(50)
      yield* until(database.stats, ({ pool }) => pool.inUse === 0)
    })
  )

  sqlTest("with a full pool a waiting statement and a waiting transaction can be interrupted", (sql) =>
    Effect.gen(function* () {
      const database = yield* Database
      const busy = yield* Effect.fork(
        Effect.replicateEffect(sql`select pg_sleep(20)`, 10, { concurrency: "unbounded", discard: true })
      )
      yield* until(database.stats, ({ pool }) => pool.inUse === 10)
      const statement = yield* Effect.fork(sql`select 1`)
      const transaction = yield* Effect.fork(sql.withTransaction(sql`select 1`))
      yield* until(database.stats, ({ pool }) => pool.waiting === 2)
      const [took] = yield* Effect.timed(Effect.all([Fiber.interrupt(statement), Fiber.interrupt(transaction)]))
      expect(Duration.toMillis(took)).toBeLessThan(50)
      expect((yield* database.stats).pool.waiting).toBe(0)
      yield* Fiber.interrupt(busy)
      expect(yield* sql`select 1 as a`).toEqual([{ a: 1 }])
    })
  )

  sqlTest("a transaction interrupted in the middle of a statement frees its caller and leaves nothing", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "n int")
      const database = yield* Database
      const fiber = yield* Effect.fork(
        sql.withTransaction(Effect.zipRight(sql`insert into things values (1)`, sql`select pg_sleep(20)`))
      )
      const sleeping = sql`select count(*)::int as n from pg_stat_activity
        where state = 'active' and query like 'select pg_sleep%' and datname = current_database()`
      yield* until(sleeping, ([row]) => row?.["n"] === 1)
      const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
      expect(Duration.toMillis(took)).toBeLessThan(50)
      yield* until(sleeping, ([row]) => row?.["n"] === 0)
      expect(yield* sql`select n from things`).toEqual([])
      yield* until(database.stats, ({ pool }) => pool.inUse === 0)
    })
  )

  sqlTest("an inner transaction that is timed out leaves the outer one usable", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "n int")
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`insert into things values (1)`
          const slow = sql.withTransaction(
            Effect.zipRight(sql`insert into things values (2)`, sql`select pg_sleep(20)`)
          )
          yield* Effect.timeoutOption(slow, "50 millis")
          yield* sql`insert into things values (3)`
        })
      )
      expect(yield* sql`select n from things order by n`).toEqual([{ n: 1 }, { n: 3 }])
    })
  )

  sqlTest("a lost connection fails its transaction as unavailable and commits no part of it", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "n int")
      const cut = (pid: number) => sql`select pg_terminate_backend(${pid}::int)`
      const error = yield* Effect.gen(function* () {
        const ready = yield* Deferred.make<number>()
        const go = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* sql`insert into things values (1)`
              const [row] = yield* sql<{ pid: number }>`select pg_backend_pid()::int as pid`
              yield* Deferred.succeed(ready, row?.pid ?? 0)
              yield* Deferred.await(go)
              yield* sql`insert into things values (2)`
            })
          )
        )
        yield* cut(yield* Deferred.await(ready))
        yield* Deferred.succeed(go, undefined)
        return yield* Effect.flip(orUnavailable(Fiber.join(fiber) as Effect.Effect<void, SqlError>))
      })
      expect(error._tag).toBe("DatabaseUnavailable")
      expect(yield* sql`select n from things`).toEqual([])
    })
  )

  sqlTest("a connection lost in the middle of a statement fails it as unavailable, and the next one works", (sql) =>
    Effect.gen(function* () {
      const running = yield* Effect.fork(Effect.flip(orUnavailable(sql`select pg_sleep(20)`)))
      const cut = sql`select pg_terminate_backend(pid) from pg_stat_activity
        where state = 'active' and query like 'select pg_sleep%' and datname = current_database()`
      yield* until(cut, (rows) => rows.length === 1)
      expect((yield* Fiber.join(running))._tag).toBe("DatabaseUnavailable")
      expect(yield* sql`select 1 as a`).toEqual([{ a: 1 }])
    })
  )

  sqlTest("a statement over its time limit fails as unavailable", (sql) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        sql.withTransaction(Effect.zipRight(sql`set local statement_timeout = 30`, sql`select pg_sleep(20)`))
      )
      expect([sqlState(error), isUnavailable(error)]).toEqual(["57014", true])
    })
  )

  sqlTest("the plans that a connection keeps have a bound", (sql) =>
    Effect.gen(function* () {
      for (let n = 0; n < 1_200; n++) yield* sql.unsafe(`select $1::int + ${n} as n`, [1])
      const [row] = yield* sql<{ n: number }>`select count(*)::int as n from pg_prepared_statements`
      expect(row?.n).toBeLessThanOrEqual(1_001)
    })
  )
}
