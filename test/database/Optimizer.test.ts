import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Optimizer from "../../src/database/Optimizer.ts"
import * as Trial from "../../src/database/optimizer/Trial.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

/** A shop whose indexes are wrong in each way there is. */
const tables = [
  `create table customers (id int primary key, email text not null)`,
  `create table orders (id int primary key, customer_id int not null references customers, city text not null,
     code text not null, paid boolean not null, note text not null, placed_at timestamptz not null)`,
  `insert into customers select n, 'Mail' || n || '@example.org' from generate_series(1, 2000) n`,
  `insert into orders select n, 1 + n % 2000, 'city' || n % 50, md5(n::text), n % 2 = 0, 'note' || n,
     timestamptz '2026-01-01' + n * interval '1 minute' from generate_series(1, 20000) n`,
  `create index orders_city on orders (city)`,
  `create index orders_city_again on orders (city)`,
  `create index orders_code_length on orders (length(code))`,
  `create index orders_placed on orders (placed_at)`,
  `create index orders_placed_city on orders (placed_at, city)`,
  `create table reviews (id int primary key, order_id int not null references orders, text text not null)`,
  `insert into reviews select n, n, 'fine' from generate_series(1, 2000) n`,
  `create index reviews_order on reviews (order_id)`,
  `create index reviews_order_text on reviews (order_id, text)`,
  `create table jobs (id int primary key, state smallint not null, due_at timestamptz not null, body text not null)`,
  `insert into jobs select n, case when n % 200 = 0 then 0 else 1 + n % 2 end,
     timestamptz '2026-01-01' + n * interval '1 second', repeat('x', 60) from generate_series(1, 20000) n`,
  `create table tasks (like jobs including all)`,
  `insert into tasks select * from jobs`,
  `create index tasks_waiting on tasks (due_at) where state = 0`,
  `create table parcels (id int primary key, code text not null, depot int not null)`,
  `insert into parcels select n, md5(n::text), n % 50 from generate_series(1, 20000) n`,
  // More rows of one place than a copy holds, before all others: few in a copy of rows of the whole table.
  `create table readings (id int not null, place text not null)`,
  `insert into readings select n, case when n <= 60000 then 'here' else 'place' || n end from generate_series(1, 400000) n`,
  `create extension if not exists pg_stat_statements`,
  `analyze`
]

const shop = Layer.effectDiscard(
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* Effect.forEach(tables, (text) => sql.unsafe(text).unprepared, { discard: true })
    yield* sql`select id from orders where lower(code) = ${"abc"}`
    yield* sql`select id from orders where note like ${"%te777%"}`
    yield* sql`select count(*) from orders where paid = ${true}`
    yield* sql`select id from orders where city = ${"city1"} order by placed_at desc limit ${5}`
    yield* sql`select id from parcels where code = ${"abc"}`
    yield* sql`select id from parcels where code = ${"abc"} and depot = ${7}`
    yield* sql`select id from readings where place = ${"there"}`
    const soon = new Date("2026-01-02")
    yield* sql`select id from jobs where state = 0 and due_at < ${soon} order by due_at limit ${10}`
    yield* sql`select id from tasks where state = 0 and due_at < ${soon} order by due_at limit ${10}`
  })
)

const layer = Layer.provideMerge(Layer.merge(shop, Optimizer.layerWith({ unusedHours: 0 })), Postgres.layerDatabase)

const quiet = () => Effect.void

withLayer("indexes of a shop", layer, (it) => {
  const advice = Effect.cached(Effect.flatMap(Optimizer.Optimizer, ({ indexes }) => indexes(quiet))).pipe(
    Effect.runSync
  )

  it("a foreign key without an index and slow conditions get one, with what it gained on the copy", () =>
    Effect.gen(function* () {
      const { create } = yield* advice
      const made = new Map(create.map((one) => [one.sql.replace("create index concurrently ", ""), one]))
      expect([...made.keys()]).toContain("on public.orders using btree (customer_id)")
      expect([...made.keys()]).toContain("on public.orders using btree (lower(code))")
      expect([...made.keys()]).toContain("on public.orders using gin (note gin_trgm_ops)")
      for (const { outcome } of made.values()) {
        expect(outcome.usesIndex).toBe(true)
        expect(outcome.before.cost / outcome.after.cost).toBeGreaterThanOrEqual(Trial.gainMin)
        expect(outcome.sampleRows).toBeGreaterThan(1_000)
      }
      expect(made.get("on public.orders using btree (lower(code))")?.outcome.before.millis).toBeGreaterThan(0)
    }))

  it("of two indexes of which one does the work of both only that one is advised", () =>
    Effect.gen(function* () {
      const { create } = yield* advice
      const parcels = create.map(({ sql }) => sql).filter((sql) => sql.includes("parcels"))
      expect(parcels).toEqual(["create index concurrently on public.parcels using btree (code, depot)"])
    }))

  it("a large table is tried by rows of all of it", () =>
    Effect.gen(function* () {
      const { create } = yield* advice
      const found = create.find(({ sql }) => sql.endsWith("on public.readings using btree (place)"))
      expect(found?.outcome.sampleRows).toBeWithin(Trial.sampleRowsMax / 2, Trial.sampleRowsMax + 1)
    }))

  it("an index that looks right and helps nobody is tried and not advised", () =>
    Effect.gen(function* () {
      const { create, rejected } = yield* advice
      expect(create.filter(({ sql }) => sql.includes("(paid)"))).toEqual([])
      expect(rejected.find(({ sql }) => sql.includes("(paid)"))?.why).toMatch(/does not use it|only/)
    }))

  it("a condition that few rows meet gets an index of these, tried with the value that they have", () =>
    Effect.gen(function* () {
      const { create } = yield* advice
      const found = create.find(({ sql }) => sql.endsWith("on public.jobs using btree (due_at) where state = 0"))
      expect(found?.statement).toContain("state = 0 and due_at < $")
      expect(found?.reason).toContain("where state is 0")
      expect(found?.outcome.before.millis).toBeGreaterThan(found?.outcome.after.millis ?? Infinity)
    }))

  it("what a partial index does already, for a constant that the server does not tell, is not advised", () =>
    Effect.gen(function* () {
      const { create, rejected } = yield* advice
      expect(create.filter(({ sql }) => sql.includes("public.tasks"))).toEqual([])
      expect(rejected.filter(({ sql }) => sql.includes("public.tasks")).map(({ why }) => why)).toEqual([
        expect.stringContaining("a partial index serves it already")
      ])
    }))

  it("duplicates, prefixes and unused ones may go; what a key stands on stays", () =>
    Effect.gen(function* () {
      const { drop } = yield* advice
      const going = new Map(drop.map(({ redundant }) => [redundant.index.name, redundant]))
      expect(going.get("orders_city_again")).toMatchObject({ kind: "duplicate", keeps: { name: "orders_city" } })
      expect(going.get("orders_placed")).toMatchObject({ kind: "prefix", keeps: { name: "orders_placed_city" } })
      expect(going.get("orders_code_length")).toMatchObject({ kind: "unused", keeps: null })
      expect([...going.keys()].filter((name) => name.endsWith("_pkey"))).toEqual([])
    }))

  it("of the indexes of a foreign key one stays, though nobody has deleted a parent yet", () =>
    Effect.gen(function* () {
      const { create, drop } = yield* advice
      const going = drop.map(({ redundant }) => redundant.index.name).filter((name) => name.startsWith("reviews"))
      expect(going).toEqual(["reviews_order"])
      expect(create.filter(({ sql }) => sql.includes("reviews"))).toEqual([])
    }))

  it("leaves nothing behind, neither when it is done nor when it is interrupted", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* advice
      const { indexes } = yield* Optimizer.Optimizer
      const begun = yield* Deferred.make<void>()
      const stay = (what: string) =>
        what.startsWith("trying") ? Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never) : Effect.void
      const running = yield* Effect.fork(indexes(stay))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(running)
      const left = yield* sql<{ readonly name: string }>`
        select relname as name from pg_class where relnamespace::regnamespace::text like 'pg\\_temp%'
        or relname like 'connect\\_candidate%'`
      expect(left).toEqual([])
      const [count] = yield* sql<{
        readonly n: number
      }>`select count(*)::int as n from pg_indexes where tablename = 'orders'`
      expect(count?.n).toBe(6)
      expect(yield* sql`select name from pg_prepared_statements where name like 'connect\\_plan%'`).toEqual([])
    }))

  it("the report names a transaction that is open for more than a second, and what it waits for", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { report } = yield* Optimizer.Optimizer
      yield* Effect.forkScoped(sql.withTransaction(sql`select pg_sleep(20)`))
      const { activity } = yield* Effect.repeat(Effect.delay(report, "20 millis"), {
        until: (found) => found.activity.transactions.length > 0
      })
      expect(activity.transactions).toEqual([
        expect.objectContaining({ fingerprint: "select pg_sleep(?)", state: "active", waits: "Timeout: PgSleep" })
      ])
      expect(activity.transactions[0]?.seconds).toBeGreaterThanOrEqual(1)
    }))

  it("the report has the statements that took the most time, the tables and who is connected", () =>
    Effect.gen(function* () {
      const { report } = yield* Optimizer.Optimizer
      const { activity, tables: found, workload } = yield* report
      expect(workload._tag).toBe("Known")
      const texts = workload._tag === "Known" ? workload.statements.map(({ text }) => text) : []
      expect(texts.join()).toContain("lower(code) = $1")
      expect(found.find(({ name }) => name === "orders")).toMatchObject({ rows: 20_000, schema: "public" })
      expect(activity.connections.length).toBeGreaterThan(0)
    }))
})
