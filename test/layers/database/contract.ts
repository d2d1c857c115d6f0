import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import fc from "fast-check"
import { Database } from "../../../src/database/Database.ts"
import {
  constraintOf,
  isUnavailable,
  isUniqueViolation,
  orUnavailable,
  sqlState
} from "../../../src/database/SqlErrors.ts"
import { withLayer } from "../../kit/effect.ts"

const awkward = [
  "plain",
  "",
  "a,b",
  'say "hi"',
  "back\\slash",
  "{brace}",
  "NULL",
  " space ",
  "ünï→🎈",
  "line\nbreak",
  "'"
]

const uuid = "5f0c5a2e-6a57-4f1c-9d0e-2f5c7a1b3c4d"

type Row = Readonly<Record<string, unknown>> & { readonly b: Uint8Array }

/** Looks every 2 ms until it is so. */
const until = <A, E, R>(look: Effect.Effect<A, E, R>, is: (a: A) => boolean) =>
  Effect.repeat(look, { until: is, schedule: Schedule.spaced("2 millis") }).pipe(Effect.timeout("5 seconds"))

/** What every driver behind SqlClient does the same. `cancels`: whether the server can stop a running statement. */
export const contract = (
  name: string,
  layer: Layer.Layer<SqlClient.SqlClient | Database>,
  { cancels, concurrent }: { readonly cancels: boolean; readonly concurrent: boolean }
): void =>
  withLayer(name, layer, (test) => {
    const sqlTest = (
      title: string,
      body: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown, Database>
    ): void => test(title, () => Effect.flatMap(SqlClient.SqlClient, body))

    const table = (sql: SqlClient.SqlClient, columns: string) =>
      Effect.gen(function* () {
        yield* sql.unsafe("drop table if exists things")
        yield* sql.unsafe(`create table things (${columns})`)
      })

    sqlTest("takes text, numbers, booleans, dates and null", (sql) =>
      Effect.gen(function* () {
        const at = new Date("2026-02-03T04:05:06.789Z")
        const rows = yield* sql`select ${"té'xt\\"}::text as t, ${7}::int as i, ${1.5}::float8 as f, ${2}::float8 as g,
          ${true}::bool as b, ${at}::timestamptz as d, ${null}::text as n, ${undefined}::int as u, ${5}::int2 as s`
        expect(rows).toEqual([{ t: "té'xt\\", i: 7, f: 1.5, g: 2, b: true, d: at, n: null, u: null, s: 5 }])
        expect(rows[0]?.["d"]).toBeInstanceOf(Date)
      })
    )

    sqlTest("takes one statement with a number now whole, now broken, now null", (sql) =>
      Effect.gen(function* () {
        const read = (n: number | null) => sql`select ${n}::float8 as n`
        expect([...(yield* read(1.25)), ...(yield* read(2)), ...(yield* read(null))]).toEqual([
          { n: 1.25 },
          { n: 2 },
          { n: null }
        ])
      })
    )

    sqlTest("takes numbers of every size", (sql) =>
      Effect.gen(function* () {
        const whole = [0, -1, 32_768, 2_147_483_648, -2_147_483_649, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]
        for (const n of whole)
          expect(yield* sql`select ${n}::int8 as n, ${n}::float8 as f`).toEqual([{ n: String(n), f: n }])
        for (const n of [0.1 + 0.2, 1e21, 5e-324, -1.7976931348623157e308, Infinity])
          expect(yield* sql`select ${n}::float8 as n`).toEqual([{ n }])
        expect(yield* sql`select ${12n}::int8 as n, ${"9007199254740993"}::int8 as s`).toEqual([
          { n: "12", s: "9007199254740993" }
        ])
      })
    )

    sqlTest("any values come back as they went, many at once", (sql) =>
      Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(
            fc.array(
              fc.record({
                t: fc.string({ unit: "binary" }).map((text) => text.replaceAll("\0", "")),
                a: fc.array(fc.option(fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\0", "")))),
                i: fc.integer(),
                f: fc.double({ noNaN: true }).map((n) => n + 0),
                b: fc.uint8Array(),
                d: fc.date({ min: new Date("1800-01-01"), max: new Date("2800-01-01"), noInvalidDate: true }),
                o: fc.option(fc.boolean())
              }),
              { minLength: 1, maxLength: 20 }
            ),
            (values) =>
              Effect.runPromise(
                Effect.forEach(
                  values,
                  ({ a, b, d, f, i, o, t }) =>
                    Effect.map(
                      sql<Row>`select ${t}::text as t, ${a}::text[] as a, ${i}::int as i, ${f}::float8 as f,
                        ${b}::bytea as b, ${d}::timestamptz as d, ${o}::bool as o`,
                      (rows) =>
                        expect<ReadonlyArray<unknown>>(
                          rows.map((row) => ({ ...row, b: Uint8Array.from(row.b) }))
                        ).toEqual([{ a, b: Uint8Array.from(b), d, f, i, o, t }])
                    ),
                  { concurrency: "unbounded", discard: true }
                )
              )
          ),
          { numRuns: 30 }
        )
      )
    )

    sqlTest("takes and gives megabytes and thousands of rows", (sql) =>
      Effect.gen(function* () {
        const text = "é".repeat(500_000)
        const bytes = new Uint8Array(1_000_000).map((_, index) => (index * 7) % 256)
        const large = sql<{ t: string; b: Uint8Array }>`select ${text}::text as t, ${bytes}::bytea as b`
        const rows = sql<{
          n: number
          t: string
        }>`select n::int, repeat('x', 200) as t from generate_series(1, 5000) as n`
        const read = Effect.gen(function* () {
          const [row] = yield* large
          expect([row?.t === text, Buffer.from(row?.b ?? []).equals(bytes)]).toEqual([true, true])
          const many = yield* rows
          expect([many.length, many.at(-1)]).toEqual([5_000, { n: 5_000, t: "x".repeat(200) }])
        })
        yield* Effect.replicateEffect(read, 4, { concurrency: "unbounded", discard: true })
        const ids = Array.from({ length: 20_000 }, (_, index) => index)
        expect(yield* sql`select count(*)::int as n from unnest(${ids}::int[])`).toEqual([{ n: ids.length }])
      })
    )

    sqlTest("takes arrays of text with quotes, commas, backslashes and nulls", (sql) =>
      Effect.gen(function* () {
        const values = [...awkward, null]
        const [row] = yield* sql`select ${values}::text[] as a, ${[]}::text[] as e`
        expect(row).toEqual({ a: values, e: [] })
        expect(yield* sql`select v from unnest(${awkward}::text[]) with ordinality as t(v, n) order by n`).toEqual(
          awkward.map((v) => ({ v }))
        )
      })
    )

    sqlTest("takes arrays of uuids, integers, booleans and dates", (sql) =>
      Effect.gen(function* () {
        const at = new Date("2026-02-03T04:05:06.789Z")
        const [row] = yield* sql`select ${[uuid, null]}::uuid[] as u, ${[1, null, -3]}::int[] as i,
          ${[true, false]}::bool[] as b, (${[at]}::timestamptz[])[1] as d, ${uuid} = any(${[uuid]}::uuid[]) as found`
        expect(row).toEqual({ u: [uuid, null], i: [1, null, -3], b: [true, false], d: at, found: true })
      })
    )

    sqlTest("takes arrays of bytes", (sql) =>
      Effect.gen(function* () {
        const [row] = yield* sql<{ b: Uint8Array }>`select (${[new Uint8Array([0, 92, 255])]}::bytea[])[1] as b`
        expect([...(row?.b ?? [])]).toEqual([0, 92, 255])
      })
    )

    sqlTest("takes bytes from Uint8Array and Buffer and gives Uint8Array", (sql) =>
      Effect.gen(function* () {
        const bytes = new Uint8Array(256).map((_, index) => index)
        const [row] = yield* sql<{
          a: unknown
          b: unknown
        }>`select ${bytes}::bytea as a, ${Buffer.from(bytes)}::bytea as b`
        expect(row?.a).toBeInstanceOf(Uint8Array)
        expect(new Uint8Array(row?.a as Uint8Array)).toEqual(bytes)
        expect(new Uint8Array(row?.b as Uint8Array)).toEqual(bytes)
      })
    )

    sqlTest("takes jsonb as text and gives it parsed", (sql) =>
      Effect.gen(function* () {
        const value = { a: [1, "x", null], "b'": { c: true } }
        yield* table(sql, "j jsonb, js jsonb[]")
        yield* sql`insert into things values (${JSON.stringify(value)}::jsonb, ${[JSON.stringify(value)]}::jsonb[])`
        expect(yield* sql`select j, j->'a'->>1 as x, js[1]->>'a' as y from things`).toEqual([
          { j: value, x: "x", y: '[1, "x", null]' }
        ])
      })
    )

    sqlTest("gives int8 and numeric as text and int4 as a number", (sql) =>
      Effect.gen(function* () {
        expect(yield* sql`select 9007199254740993::int8 as l, 1::int8 as s, 1.50::numeric as n, 3::int4 as i`).toEqual([
          { l: "9007199254740993", s: "1", n: "1.50", i: 3 }
        ])
      })
    )

    sqlTest("inserts, updates and returns rows through the helpers", (sql) =>
      Effect.gen(function* () {
        yield* table(sql, "id int primary key, name text, tags text[]")
        const rows = [
          { id: 1, name: "ada", tags: ["a,b", 'c"d'] },
          { id: 2, name: null, tags: [] }
        ]
        expect(yield* sql`insert into things ${sql.insert(rows).returning("*")}`).toEqual(rows)
        yield* sql`update things set ${sql.update({ id: 1, name: "eve" }, ["id"])} where id = ${1}`
        expect(yield* sql`select name from things where ${sql.in("id", [1, 2])} order by id`).toEqual([
          { name: "eve" },
          { name: null }
        ])
        expect(yield* sql`select name, id from things order by id`.values).toEqual([
          ["eve", 1],
          [null, 2]
        ])
      })
    )

    sqlTest("gives plain arrays of plain objects", (sql) =>
      Effect.gen(function* () {
        const rows = yield* sql`select 1 as a`
        expect(Object.keys(rows)).toEqual(["0"])
        expect(JSON.stringify(rows)).toBe('[{"a":1}]')
      })
    )

    sqlTest("runs several statements at once when there are no parameters", (sql) =>
      Effect.gen(function* () {
        yield* sql.unsafe("drop table if exists several; create table several (n int); insert into several values (1)")
          .unprepared
        expect(yield* sql`select n from several`).toEqual([{ n: 1 }])
      })
    )

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
        expect([sqlState(large), constraintOf(large), isUniqueViolation(large)]).toEqual([
          "23514",
          "things_small",
          false
        ])
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
        expect(after.pool.max).toBe(concurrent ? 10 : 1)
        expect(Duration.toMillis(yield* database.ping)).toBeGreaterThan(0)
      })
    )

    if (!cancels) return

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
  })
