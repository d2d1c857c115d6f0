import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import fc from "fast-check"
import { type SqlTest, table } from "./SqlTest.ts"

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

/** What goes in and comes out. `bytes`: the size of a large value. */
export const values = (sqlTest: SqlTest, bytes: number): void => {
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
      const text = "é".repeat(bytes / 2)
      const binary = new Uint8Array(bytes).map((_, index) => (index * 7) % 256)
      const large = sql<{ t: string; b: Uint8Array }>`select ${text}::text as t, ${binary}::bytea as b`
      const rows = sql<{
        n: number
        t: string
      }>`select n::int, repeat('x', 200) as t from generate_series(1, 5000) as n`
      const read = Effect.gen(function* () {
        const [row] = yield* large
        expect([row?.t === text, Buffer.from(row?.b ?? []).equals(binary)]).toEqual([true, true])
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
      const all = new Uint8Array(256).map((_, index) => index)
      const [row] = yield* sql<{
        a: unknown
        b: unknown
      }>`select ${all}::bytea as a, ${Buffer.from(all)}::bytea as b`
      expect(row?.a).toBeInstanceOf(Uint8Array)
      expect(new Uint8Array(row?.a as Uint8Array)).toEqual(all)
      expect(new Uint8Array(row?.b as Uint8Array)).toEqual(all)
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

  sqlTest("gives plain arrays whatever is in them, and text for what JavaScript has no value for", (sql) =>
    Effect.gen(function* () {
      const rows =
        yield* sql`select a::int4[] as a, b::float4[] as b, c::int8[] as c, d::numeric[] as d, '1 day'::interval as i,
        array['1 day']::interval[] as ii, '(1,2)'::point as p, '<(1,2),3>'::circle as o, array['x']::name[] as n
        from (values (null, null, null, null), ('{1,2}', '{1.5,2}', '{9007199254740993,NULL}', '{1.50,NULL}'),
          ('{1,NULL}', '{}', '{{1},{-2}}', '{}')) as t (a, b, c, d) where ${1}::int = 1`
      const rest = { i: "1 day", ii: ["1 day"], p: "(1,2)", o: "<(1,2),3>", n: ["x"] }
      expect(rows).toEqual([
        { a: null, b: null, c: null, d: null, ...rest },
        { a: [1, 2], b: [1.5, 2], c: ["9007199254740993", null], d: ["1.50", null], ...rest },
        { a: [1, null], b: [], c: [["1"], ["-2"]], d: [], ...rest }
      ])
      expect(yield* sql`select array[1, 2] as a where ${1}::int = 1`.values).toEqual([[[1, 2]]])
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
}
