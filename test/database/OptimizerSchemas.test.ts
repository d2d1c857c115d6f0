import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Optimizer from "../../src/database/Optimizer.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const columns = "id int primary key, city text not null, code text not null, placed_at timestamptz not null"
const rows = `select n, 'city' || n % 500, md5(n::text), timestamptz '2026-01-01' + n * interval '1 minute'
  from generate_series(1, 20000) n`

/** One name in two schemas, a view, partitions, and what stands on an index without a constraint of its own. */
const tables = [
  `create schema archive`,
  `create table orders (${columns})`,
  `create table archive.orders (${columns})`,
  `insert into orders ${rows}`,
  `insert into archive.orders ${rows}`,
  `create index orders_city on orders (city)`,
  `create index orders_placed on orders (placed_at)`,
  `create index orders_placed_code on orders (placed_at, code)`,
  `create view placed as select id, placed_at from orders`,
  `create index archived_code on archive.orders (code)`,
  `create index archived_code_city on archive.orders (code, city)`,

  `create table visits (id int primary key, page int not null, day int not null, hour int not null)`,
  `insert into visits select n, n % 5000, n % 7, n % 24 from generate_series(1, 20000) n`,
  `create index visits_page_day on visits (page, day)`,
  `create index visits_page_hour on visits (page, hour)`,

  `create table logs (id int not null, at int not null) partition by range (at)`,
  `create table logs_1 partition of logs for values from (0) to (100)`,
  `insert into logs select n, n % 100 from generate_series(1, 20000) n`,
  `create index logs_id on logs (id)`,
  `create unique index logs_1_only on logs_1 (id)`,

  `create table parents (id int not null)`,
  `create unique index parents_z on parents (id)`,
  `create table children (id int primary key, parent_id int not null references parents (id))`,
  `create unique index parents_a on parents (id)`,
  `create table replicated (id int not null)`,
  `create unique index replicated_z on replicated (id)`,
  `alter table replicated replica identity using index replicated_z`,
  `create unique index replicated_a on replicated (id)`,
  `create table lines (id int primary key, "order" int not null references orders)`,
  `insert into lines select n, n from generate_series(1, 2000) n`,
  `create table options (name text)`,
  `create unique index options_one_null on options (name) nulls not distinct`,
  `create unique index options_any_null on options (name)`,

  `create table notes (id int, body text)`,
  `create table old_notes () inherits (notes)`,
  `insert into notes select n, 'note' || n from generate_series(1, 2000) n`,
  `insert into old_notes select n, 'note' || n from generate_series(1, 20000) n`,
  `create table marked (id int primary key, tags text[] not null)`,
  `insert into marked select n, array['tag' || n % 2000] from generate_series(1, 20000) n`,

  `create extension if not exists pg_stat_statements`,
  `analyze`
]

const made = Layer.effectDiscard(
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* Effect.forEach(tables, (text) => sql.unsafe(text).unprepared, { discard: true })
    // They fail, and leave what they had begun.
    yield* Effect.ignore(sql.unsafe(`create unique index concurrently visits_of_day on visits (day)`).unprepared)
    yield* Effect.ignore(sql.unsafe(`reindex index concurrently visits_of_day`).unprepared)
    yield* sql`select count(*) from logs where at = ${5}`
    yield* sql`select id from orders where city = ${"city1"}`
    yield* sql`select o.id from archive.orders as o where o.city = ${"city1"}`
    yield* sql`select count(*) from archive.orders where code = ${"abc"}`
    yield* sql`select n.id from orders n join "archive"."orders" a on a.id = n.id where a.placed_at = ${new Date(0)}`
    yield* sql`select count(*) from placed where placed_at > ${new Date(0)}`
    yield* sql`select id from notes where body = ${"note7"}`
    yield* sql`select id from marked where tags && array['tag7']`
    // Counted as a statement, and no scan of an index.
    yield* sql.withTransaction(
      Effect.zipRight(
        sql`set local enable_indexscan = off`,
        Effect.zipRight(sql`set local enable_bitmapscan = off`, sql`select id from visits where page = ${7}`)
      )
    )
  })
)

const layer = Layer.provideMerge(Layer.merge(made, Optimizer.layerWith({ unusedHours: 0 })), Postgres.layerDatabase)

withLayer("what has one name in two places", layer, (it) => {
  const advice = Effect.cached(Effect.flatMap(Optimizer.Optimizer, ({ indexes }) => indexes(() => Effect.void))).pipe(
    Effect.runSync
  )
  const going = Effect.map(advice, ({ drop }) => drop.map(({ redundant }) => redundant.index.name))

  it("an index is advised for the table that its statement reads, and not for another of its name", () =>
    Effect.gen(function* () {
      const { create } = yield* advice
      const cities = create.filter(({ sql }) => sql.includes("(city"))
      expect(cities.map(({ sql }) => sql)).toEqual(["create index concurrently on archive.orders using btree (city)"])
      expect(cities[0]?.statement).toContain("archive.orders as o")
      expect(cities[0]?.outcome.before.millis).toBeGreaterThan(0)
    }))

  it("a column whose name is a word of SQL gets its index too", () =>
    Effect.gen(function* () {
      const { create } = yield* advice
      expect(create.map(({ sql }) => sql)).toContain('create index concurrently on public.lines using btree ("order")')
    }))

  it("a statement that reads both tables of one name is not tried, and says so", () =>
    Effect.gen(function* () {
      const { create, rejected } = yield* advice
      expect(create.filter(({ sql }) => sql.includes("placed_at"))).toEqual([])
      const placed = rejected.find(({ sql }) => sql.endsWith("on archive.orders using btree (placed_at)"))
      expect(placed?.why).toContain("no copy could be made: it would have two tables orders")
    }))

  it("a table that others inherit from is not tried: no copy has their rows apart", () =>
    Effect.gen(function* () {
      const { create, rejected } = yield* advice
      expect(create.filter(({ sql }) => sql.includes("notes"))).toEqual([])
      const whys = rejected.filter(({ sql }) => sql.includes("notes")).map(({ why }) => why)
      expect(whys).toEqual(Array.from({ length: 2 }, () => "no copy could be made: other tables inherit from notes"))
    }))

  it("a statement that reads a table by another name than its own is not tried, and says which", () =>
    Effect.gen(function* () {
      const { rejected } = yield* advice
      const whyOf = (index: string) => rejected.find(({ sql }) => sql.endsWith(index))?.why
      const not = "through a view or a partitioned table, not by its name"
      expect(whyOf("on public.logs_1 using btree (at)")).toEndWith(`its statement reads public.logs_1 ${not}`)
    }))

  it("what is asked of an array that the statement writes out gets its index", () =>
    Effect.gen(function* () {
      const { create } = yield* advice
      expect(create.map(({ sql }) => sql)).toContain("create index concurrently on public.marked using gin (tags)")
    }))

  it("an index goes after the statements of its table were tried without it, those that name the schema included", () =>
    Effect.gen(function* () {
      const { drop } = yield* advice
      const found = drop.find(({ redundant }) => redundant.index.name === "archived_code")
      expect(found?.sql).toBe('drop index concurrently "archive"."archived_code"')
      expect(found?.statements).toBeGreaterThanOrEqual(2)
    }))

  it("an index whose build has failed is to be rebuilt, and what a failed rebuild has left is to go", () =>
    Effect.gen(function* () {
      const { invalid } = yield* advice
      expect(invalid.map(({ sql }) => sql)).toEqual([
        'reindex index concurrently "public"."visits_of_day"',
        'drop index concurrently "public"."visits_of_day_ccnew"'
      ])
      expect((yield* going).filter((name) => name.startsWith("visits_of_day"))).toEqual([])
    }))

  it("an index stays when a statement uses it that a copy cannot stand in for", () =>
    Effect.gen(function* () {
      const { rejected } = yield* advice
      expect(yield* going).not.toContain("orders_placed")
      const kept = rejected.find(({ sql }) => sql.includes('"orders_placed"'))
      expect(kept?.why).toContain("a statement that uses it cannot be tried on a copy: select count(*) from placed")
    }))

  it("of two indexes that stand in for each other only one goes", () =>
    Effect.gen(function* () {
      expect((yield* going).filter((name) => name.startsWith("visits"))).toHaveLength(1)
    }))

  it("what cannot be dropped, or must not be, is not advised", () =>
    Effect.gen(function* () {
      const names = yield* going
      expect(names.filter((name) => name.startsWith("logs"))).toEqual([])
      expect(names.filter((name) => name.startsWith("parents"))).toEqual(["parents_a"])
      expect(names.filter((name) => name.startsWith("replicated"))).toEqual(["replicated_a"])
      expect(names.filter((name) => name.startsWith("options"))).toEqual(["options_any_null"])
    }))
})
