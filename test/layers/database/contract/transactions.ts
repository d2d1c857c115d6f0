import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { Database } from "../../../../src/database/Database.ts"
import { constraintOf, isUnavailable, isUniqueViolation, sqlState } from "../../../../src/database/SqlErrors.ts"
import { type SqlTest, table } from "./SqlTest.ts"

/** Transactions, concurrency, errors and streams. `connections`: how many the pool may have. */
export const transactions = (sqlTest: SqlTest, connections: number): void => {
  sqlTest("a transaction is seen by others when it is committed", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "n int")
      yield* sql.withTransaction(
        Effect.zipRight(sql`insert into things values (1)`, sql`insert into things values (2)`)
      )
      expect(yield* sql`select count(*)::int as n from things`).toEqual([{ n: 2 }])
    })
  )

  sqlTest("a failure rolls the transaction back and stays the failure", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "n int")
      const result = yield* Effect.either(
        sql.withTransaction(Effect.zipRight(sql`insert into things values (1)`, Effect.fail("no" as const)))
      )
      expect(result).toEqual(Either.left("no"))
      expect(yield* sql`select n from things`).toEqual([])
    })
  )

  sqlTest("an inner transaction rolls back alone", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "n int")
      const insert = (n: number) => sql`insert into things values (${n})`
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* insert(1)
          yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert(2), Effect.fail("inner"))))
          yield* sql.withTransaction(insert(3))
          yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert(4), sql`select 1/0`)))
        })
      )
      expect(yield* sql`select n from things order by n`).toEqual([{ n: 1 }, { n: 3 }])
    })
  )

  sqlTest("an interrupted transaction leaves nothing, and the next one starts clean", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "n int")
      const inserted = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        sql.withTransaction(
          sql`insert into things values (1)`.pipe(
            Effect.zipRight(Deferred.succeed(inserted, undefined)),
            Effect.zipRight(Effect.never)
          )
        )
      )
      yield* Deferred.await(inserted)
      expect(Exit.isInterrupted(yield* Fiber.interrupt(fiber))).toBe(true)
      yield* sql.withTransaction(sql`insert into things values (2)`)
      expect(yield* sql`select n from things`).toEqual([{ n: 2 }])
    })
  )

  sqlTest("a caller that was interrupted may clean up in a transaction", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "n int")
      const cleanUp = sql.withTransaction(sql`insert into things values (1)`)
      const fiber = yield* Effect.fork(Effect.ensuring(Effect.never, Effect.orDie(cleanUp)))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      expect(yield* sql`select n from things`).toEqual([{ n: 1 }])
    })
  )

  sqlTest("statements of one transaction may be started together", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "n int")
      yield* sql.withTransaction(
        Effect.forEach([1, 2, 3, 4, 5], (n) => sql`insert into things values (${n})`, { concurrency: "unbounded" })
      )
      expect(yield* sql`select sum(n)::int as n from things`).toEqual([{ n: 15 }])
    })
  )

  sqlTest("200 statements at once each get their own answer", (sql) =>
    Effect.gen(function* () {
      const numbers = Array.from({ length: 200 }, (_, index) => index)
      const answers = yield* Effect.forEach(
        numbers,
        (n) => (n % 7 === 0 ? sql`select ${String(n)}::text as n` : sql`select ${n}::int as n`),
        { concurrency: "unbounded" }
      )
      expect(answers.map((rows) => Number(rows[0]?.["n"]))).toEqual(numbers)
    })
  )

  sqlTest("transactions, failures and plain statements together do not mix", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "n int primary key, twin int")
      const twins = (n: number) =>
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`insert into things values (${2 * n}, ${2 * n + 1})`
            if (n % 3 === 0) return yield* Effect.fail("odd one")
            yield* sql`insert into things values (${2 * n + 1}, ${2 * n})`
          })
        )
      yield* Effect.forEach(
        Array.from({ length: 60 }, (_, index) => index),
        (n) =>
          Effect.zip(Effect.either(twins(n)), Effect.either(sql`select ${n}::int / ${n % 4}::int`), {
            concurrent: true
          }),
        { concurrency: "unbounded" }
      )
      expect(
        yield* sql`select count(*)::int as n from things a where not exists (select from things b where b.n = a.twin)`
      ).toEqual([{ n: 0 }])
      expect(yield* sql`select count(*)::int as n from things`).toEqual([{ n: 80 }])
    })
  )

  sqlTest("an error carries its SQLSTATE and constraint and the connection stays usable", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "id int primary key, n int constraint things_small check (n < 5)")
      yield* sql`insert into things values (1, 1)`
      const twice = yield* Effect.flip(sql`insert into things values (1, 2)`)
      expect([sqlState(twice), constraintOf(twice)]).toEqual(["23505", "things_pkey"])
      expect([isUniqueViolation(twice), isUniqueViolation(twice, "things_pkey")]).toEqual([true, true])
      expect(isUniqueViolation(twice, "another")).toBe(false)
      expect(isUnavailable(twice)).toBe(false)
      const large = yield* Effect.flip(sql`insert into things values (2, 9)`)
      expect([sqlState(large), constraintOf(large), isUniqueViolation(large)]).toEqual(["23514", "things_small", false])
      expect(sqlState(yield* Effect.flip(sql.unsafe("selec 1")))).toBe("42601")
      expect(yield* sql`select id from things`).toEqual([{ id: 1 }])
    })
  )

  sqlTest("a refused commit is a failure with its SQLSTATE", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "id int, constraint once unique (id) deferrable initially deferred")
      const error = yield* Effect.flip(
        sql.withTransaction(Effect.zipRight(sql`insert into things values (1)`, sql`insert into things values (1)`))
      )
      expect(isUniqueViolation(error, "once")).toBe(true)
      expect(yield* sql`select id from things`).toEqual([])
    })
  )

  sqlTest("a transaction that passes over a failed statement is not told that it was saved", (sql) =>
    Effect.gen(function* () {
      yield* table(sql, "id int primary key")
      const twice = Effect.zipRight(
        sql`insert into things values (1)`,
        Effect.ignore(sql`insert into things values (1)`)
      )
      const error = yield* Effect.flip(sql.withTransaction(twice))
      expect(error.message).toContain("rolled back")
      expect(isUniqueViolation(error, "things_pkey")).toBe(true)
      expect(yield* sql`select id from things`).toEqual([])
      // A part that was rolled back by itself leaves the rest as it was.
      const part = Effect.ignore(sql.withTransaction(sql`insert into things values (2)`))
      const inPart = Effect.zipRight(sql`insert into things values (2)`, part)
      yield* sql.withTransaction(inPart)
      expect(yield* sql`select id from things`).toEqual([{ id: 2 }])
    })
  )

  sqlTest("streams a long result in order, alone and in a transaction", (sql) =>
    Effect.gen(function* () {
      const numbers = Stream.runCollect(
        sql<{ n: number }>`select n::int from generate_series(1, ${700}::int) as n`.stream
      )
      const expected = Array.from({ length: 700 }, (_, index) => index + 1)
      expect([...(yield* numbers)].map(({ n }) => n)).toEqual(expected)
      expect([...(yield* sql.withTransaction(numbers))].map(({ n }) => n)).toEqual(expected)
    })
  )

  sqlTest("a stream that is left early gives its connection back", (sql) =>
    Effect.gen(function* () {
      const some = sql`select n from generate_series(1, 100000) as n`.stream.pipe(Stream.take(3), Stream.runCount)
      expect(yield* Effect.replicateEffect(some, 12)).toEqual(Array.from({ length: 12 }, () => 3))
      expect((yield* (yield* Database).stats).pool.inUse).toBe(0)
    })
  )

  sqlTest("counts, pings and knows its pool", (sql) =>
    Effect.gen(function* () {
      const database = yield* Database
      const before = yield* database.stats
      yield* sql`select 1`
      yield* Effect.ignore(sql`select 1/0`)
      const after = yield* database.stats
      expect([after.queries - before.queries, after.failures - before.failures]).toEqual([2, 1])
      expect(after.pool.inUse + after.pool.waiting).toBe(0)
      expect(after.pool.max).toBe(connections)
      expect(Duration.toMillis(yield* database.ping)).toBeGreaterThan(0)
    })
  )
}
