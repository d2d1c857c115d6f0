import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Database from "../../src/database/Database.ts"
import { counted } from "../../src/database/QueryCount.ts"
import * as ReadBatcher from "../../src/database/ReadBatcher.ts"
import { it, withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

interface Row {
  readonly id: number
  readonly body: string
}

/** Twenty rows under a name of their own, read by key. */
const items = (table: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe(`create table ${table} as select id, 'body ' || id as body from generate_series(1, 20) id`)
    const batcher = yield* ReadBatcher.make({
      name: "item",
      statement: (ids: ReadonlyArray<number>) =>
        sql<Row>`select id, body from ${sql(table)} where id = any(${ids}::int[])`,
      key: (row: Row) => row.id
    })
    return { sql, batcher }
  })

withLayer("reads by key", Postgres.layerDatabase, (within) => {
  within("of separate fibers in one turn are one statement, and what is not there is None", () =>
    Effect.gen(function* () {
      const { batcher } = yield* items("items_one")
      const database = yield* Database.Database
      const before = (yield* database.stats).queries
      const loads = Effect.forEach([1, 2, 2, 99], batcher.load, { concurrency: "unbounded" })
      const [one, many] = yield* Effect.all([loads, batcher.loadMany([3, 1, 98])], { concurrency: 2 })
      expect(one.map(Option.map((row) => row.body))).toEqual([
        Option.some("body 1"),
        Option.some("body 2"),
        Option.some("body 2"),
        Option.none()
      ])
      expect([...many.keys()].sort()).toEqual([1, 3])
      expect((yield* database.stats).queries - before).toBe(1)
    })
  )

  within("see what was written before they were asked for", () =>
    Effect.gen(function* () {
      const { batcher, sql } = yield* items("items_two")
      for (const body of ["first", "second", "third"]) {
        const behind = yield* Effect.fork(batcher.load(1))
        yield* sql`update items_two set body = ${body} where id = 1`
        expect(Option.map(yield* batcher.load(1), (row) => row.body)).toEqual(Option.some(body))
        yield* Fiber.join(behind)
      }
    })
  )

  within("inside a transaction are its statements, and see what it wrote", () =>
    Effect.gen(function* () {
      const { batcher, sql } = yield* items("items_three")
      const seen = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`update items_three set body = 'mine' where id = 1`
          const [mine, others] = yield* Effect.all([
            batcher.load(1),
            batcher.loadMany([1, 2]).pipe(Effect.map((found) => found.get(1)?.body))
          ])
          return [Option.getOrThrow(mine).body, others]
        })
      )
      expect(seen).toEqual(["mine", "mine"])
    })
  )

  within("count as statements of the request that came first", () =>
    Effect.gen(function* () {
      const { batcher } = yield* items("items_four")
      const [[, first], [, second]] = yield* Effect.all([counted(batcher.load(1)), counted(batcher.load(2))], {
        concurrency: 2
      })
      expect([first.queries, second.queries]).toEqual([1, 0])
    })
  )
})

it("a caller that is interrupted leaves the others their rows; the last one ends the statement", () =>
  Effect.gen(function* () {
    const go = yield* Deferred.make<void>()
    const begun = yield* Deferred.make<void>()
    const ended = yield* Deferred.make<void>()
    const batcher = yield* ReadBatcher.make<number, Row, never>({
      name: "item",
      statement: (ids) =>
        Deferred.succeed(begun, undefined).pipe(
          Effect.zipRight(Deferred.await(go)),
          Effect.as(ids.map((id) => ({ id, body: "" }))),
          Effect.onInterrupt(() => Deferred.succeed(ended, undefined))
        ),
      key: (row) => row.id
    })
    const [one, two] = yield* Effect.all([Effect.fork(batcher.load(1)), Effect.fork(batcher.load(2))])
    yield* Deferred.await(begun)
    yield* Fiber.interrupt(one)
    yield* Deferred.succeed(go, undefined)
    expect(Exit.isSuccess(yield* Fiber.await(two))).toBe(true)
    expect(yield* Deferred.isDone(ended)).toBe(false)
  }))
