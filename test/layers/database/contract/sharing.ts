import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import { Database } from "../../../../src/database/Database.ts"
import { isUnavailable, sqlState } from "../../../../src/database/SqlErrors.ts"
import { type SqlTest, table, until } from "./SqlTest.ts"

const numbers = Array.from({ length: 300 }, (_, index) => index)

/** Reads that are sent one behind the other. For servers. */
export const sharing = (sqlTest: SqlTest): void => {
  sqlTest("reads that share connections fail alone", (sql) =>
    Effect.gen(function* () {
      const read = (n: number) => Effect.either(sql<{ n: number }>`select 100 / ${n % 5}::int + ${n}::int as n`)
      yield* read(1)
      for (let round = 0; round < 3; round++) {
        const answers = yield* Effect.forEach(numbers, read, { concurrency: "unbounded" })
        const expected = numbers.map((n) => (n % 5 === 0 ? "22012" : Math.floor(100 / (n % 5)) + n))
        expect(answers.map(Either.match({ onLeft: (error) => sqlState(error), onRight: ([row]) => row?.n }))).toEqual(
          expected
        )
      }
    })
  )

  sqlTest("reads that share connections are interrupted alone", (sql) =>
    Effect.gen(function* () {
      const database = yield* Database
      const read = (n: number) => sql<{ n: number }>`select ${n}::int as n from generate_series(1, 2000) limit 1`
      yield* Effect.forEach(numbers, read, { concurrency: 20 })
      const fibers = yield* Effect.forEach(numbers, (n) => Effect.fork(read(n)))
      yield* Effect.yieldNow()
      yield* Fiber.interruptAll(fibers.filter((_, n) => n % 3 === 0))
      const rest = yield* Effect.forEach(
        fibers.filter((_, n) => n % 3 !== 0),
        Fiber.join
      )
      expect(rest.map(([row]) => row?.n)).toEqual(numbers.filter((n) => n % 3 !== 0))
      yield* until(database.stats, ({ pool }) => pool.inUse === 0)
    })
  )

  sqlTest("a read that turns out to be slow and is interrupted harms none of those behind it", (sql) =>
    Effect.gen(function* () {
      const database = yield* Database
      const count = (n: number) => sql<{ n: number }>`select count(*)::int as n from generate_series(1, ${n}::int) as s`
      // All but one connection is taken, so that they meet on the last one.
      const busy = yield* Effect.fork(
        Effect.replicateEffect(sql`select pg_sleep(20)`, 9, { concurrency: "unbounded", discard: true })
      )
      yield* until(database.stats, ({ pool }) => pool.inUse === 9)
      for (let round = 0; round < 5; round++) {
        yield* count(1)
        const slow = yield* Effect.fork(count(2_000_000_000))
        const behind = yield* Effect.forEach([1, 2, 3, 4, 5], (n) => Effect.fork(count(n)))
        yield* Effect.sleep("5 millis")
        yield* Fiber.interrupt(slow)
        const answers = yield* Effect.forEach(behind, Fiber.join)
        expect(answers.map(([row]) => row?.n)).toEqual([1, 2, 3, 4, 5])
      }
      yield* Fiber.interrupt(busy)
    })
  )

  sqlTest("a write is not sent behind anything, nor anything behind it", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "id int primary key, n int")
      yield* sql`insert into things select n, 0 from generate_series(1, 20) as n`
      const read = (id: number) => sql<{ n: number }>`select n from things where id = ${id}`
      yield* read(1)
      // Each transaction waits for reads of others while it holds a row that another write waits for.
      const raise = sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`update things set n = n + 1 where id = 1`
          const others = yield* Effect.forkDaemon(Effect.forEach([1, 2, 3], read, { concurrency: "unbounded" }))
          yield* Fiber.join(others)
        })
      )
      yield* Effect.replicateEffect(raise, 5, { concurrency: "unbounded", discard: true })
      expect(yield* read(1)).toEqual([{ n: 5 }])
    })
  )

  sqlTest("a table that changes under the plans that connections keep fails nobody", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "id int")
      yield* sql`insert into things values (1)`
      const all = Effect.replicateEffect(sql`select * from things where id = ${1}`, 20, { concurrency: "unbounded" })
      yield* all
      yield* sql.unsafe("alter table things add column n int")
      for (const rows of yield* all) expect(rows).toEqual([{ id: 1, n: null }])
    })
  )

  sqlTest("in a transaction it is a failure that may be tried again", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "id int")
      const read = sql.withTransaction(sql`select * from things`)
      yield* Effect.replicateEffect(read, 20, { concurrency: "unbounded" })
      yield* sql.unsafe("alter table things add column n int")
      const ends = yield* Effect.replicateEffect(Effect.either(read), 20, { concurrency: "unbounded" })
      for (const error of ends.flatMap((end) => (Either.isLeft(end) ? [end.left] : [])))
        expect(isUnavailable(error)).toBe(true)
      expect(yield* Effect.retry(read, { times: 10 })).toEqual([])
    })
  )
}
