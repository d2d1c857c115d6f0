import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import * as Tags from "../../src/cache/Tags.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as QueryCache from "../../src/database/QueryCache.ts"
import { tablesOf } from "../../src/database/Writes.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it, withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const settled = (queryCache: boolean) =>
  QueryCache.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(Tags.layer, Broadcast.layerLocal, Postgres.layerDatabase)),
    Layer.provideMerge(StoreMemory.layer),
    Layer.provideMerge(
      Settings.layerTest((settings) => ({ ...settings, database: { ...settings.database, queryCache } }))
    )
  )

/** A table of its own, a kept statement over it, and how often that ran. */
const counting = (table: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table ${sql(table)} (id int primary key, body text not null)`
    let runs = 0
    const { keep } = yield* QueryCache.QueryCache
    const count = yield* keep({
      name: table,
      tables: [table],
      schema: Schema.Int,
      ttl: "1 hour",
      statement: (least: number) =>
        Effect.map(
          sql<{ readonly n: number }>`select count(*)::int as n from ${sql(table)} where id >= ${least}`,
          ([row]) => (runs++, row?.n ?? 0)
        )
    })
    return { sql, count, runs: () => runs }
  })

withLayer("with the query cache", settled(true), (within) => {
  within("parameters that JSON would write alike are told apart", () =>
    Effect.gen(function* () {
      const { keep } = yield* QueryCache.QueryCache
      const statement = (parameter: number | null | undefined) => Effect.succeed(String(parameter))
      const told = yield* keep({ name: "told", tables: [], schema: Schema.String, ttl: "1 hour", statement })
      expect([yield* told(null), yield* told(undefined), yield* told(Number.NaN)]).toEqual(["null", "undefined", "NaN"])
    })
  )

  within("a statement runs once for the same parameters, until its table is written", () =>
    Effect.gen(function* () {
      const { count, runs, sql } = yield* counting("one")
      expect([yield* count(0), yield* count(0), yield* count(5)]).toEqual([0, 0, 0])
      expect(runs()).toBe(2)
      yield* sql`insert into one values (1, 'a'), (7, 'b')`
      expect([yield* count(0), yield* count(0), yield* count(5)]).toEqual([2, 2, 1])
      expect(runs()).toBe(4)
      yield* sql`create table elsewhere as select 1 as id`
      yield* sql`update elsewhere set id = 2`
      yield* count(0)
      expect(runs()).toBe(4)
      yield* sql`with gone as (delete from one where id = 7 returning 1) select count(*) from gone`
      expect(yield* count(0)).toBe(1)
    })
  )

  within("every way to write a table forgets what was read from it", () =>
    Effect.gen(function* () {
      const { count, runs, sql } = yield* counting("ways")
      const rows = [{ id: 11, body: "b" }]
      const write = (text: string) => sql.unsafe(text)
      const ways: Readonly<Record<string, Effect.Effect<unknown, SqlError>>> = {
        template: sql`insert into ways values (${1}, ${"a"})`,
        helper: sql`insert into ways ${sql.insert(rows)}`,
        identifier: sql`update ${sql("ways")} set body = 'c'`,
        values: sql`update public.ways set body = 'd' returning id`.values,
        raw: sql`update "ways" set body = 'e'`.raw,
        unprepared: sql`update ways w set body = 'f'`.unprepared,
        unsafe: write("UPDATE ONLY ways SET body = 'g'"),
        upsert: write("insert into ways values (1, 'h') on conflict (id) do update set body = excluded.body"),
        "within a with": write("with gone as (delete from ways where id = 1 returning id) select * from gone"),
        merge: write(
          "merge into ways using (values (3)) as v (n) on id = n when not matched then insert values (n, 'i')"
        ),
        "behind a comment": write("/* why */ -- and how\n delete from ways where id = 3"),
        transaction: sql.withTransaction(sql`delete from ways where id = 11`),
        savepoint: sql.withTransaction(sql.withTransaction(sql`insert into ways values (5, 'j')`)),
        "one that is rolled back": Effect.ignore(
          sql.withTransaction(Effect.zipRight(sql`delete from ways`, Effect.fail("no")))
        ),
        "one that fails": Effect.ignore(sql`insert into ways values (5, 'again')`),
        truncate: write("truncate table ways")
      }
      for (const [way, effect] of Object.entries(ways)) {
        yield* count(0)
        const before = runs()
        yield* effect
        yield* count(0)
        expect([way, runs() - before]).toEqual([way, 1])
      }
    })
  )

  within("a table with a name of its own kind is forgotten too, and so is the second of a truncate", () =>
    Effect.gen(function* () {
      const { sql, count, runs } = yield* counting("Odd Name")
      yield* sql`create table plain (id int)`
      yield* count(0)
      yield* sql`insert into public."Odd Name" values (1, 'a')`
      expect(yield* count(0)).toBe(1)
      yield* sql`truncate plain, "Odd Name"`
      expect([yield* count(0), runs()]).toEqual([0, 3])
    })
  )

  within("a transaction reads for itself, and its writes are seen when it has committed", () =>
    Effect.gen(function* () {
      const { count, sql } = yield* counting("two")
      yield* count(0)
      const inside = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`insert into two values (1, 'a')`
          return yield* count(0)
        })
      )
      expect(inside).toBe(1)
      expect(yield* count(0)).toBe(1)
      yield* Effect.exit(sql.withTransaction(Effect.zipRight(sql`insert into two values (2, 'b')`, Effect.fail("no"))))
      expect(yield* count(0)).toBe(1)
    })
  )
})

withLayer("without it", settled(false), (within) => {
  within("every call runs its statement", () =>
    Effect.gen(function* () {
      const { count, runs } = yield* counting("three")
      yield* count(0)
      yield* count(0)
      expect(runs()).toBe(2)
    })
  )
})

it("the tables that a text writes are known, those it reads are not among them", () =>
  Effect.sync(() => {
    expect(tablesOf("select * from users where id = $1 for update")).toBeUndefined()
    expect(tablesOf('\n  insert into "Users" (id) select id from guests')).toEqual(["users"])
    expect(tablesOf("UPDATE only public.users set a = 1 from blocks")).toEqual(["users"])
    expect(tablesOf("with a as (insert into x values (1)), b as (delete from y) select 1")).toEqual(["x", "y"])
    expect(tablesOf("with a as (select 1) select * from a")).toBeUndefined()
    expect(tablesOf('truncate table only a, "Odd One" *, public.b restart identity')).toEqual(["a", "odd one", "b"])
    expect(tablesOf('insert into "My ""Schema" . "My ""Table" (a, b) values (1, 2)')).toEqual(['my "table'])
    expect(tablesOf("merge into only größen g using y on true")).toEqual(["größen"])
    expect(tablesOf("insert into a$b values (1)")).toEqual(["a$b"])
  }))
