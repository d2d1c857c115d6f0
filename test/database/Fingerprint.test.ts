import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import fc from "fast-check"
import { fingerprint, fingerprintLengthMax, scrubbed } from "../../src/database/Fingerprint.ts"
import * as Plans from "../../src/database/Plans.ts"
import { it } from "../kit/effect.ts"

const folds = (title: string, sql: string, expected: string) =>
  it(title, () => Effect.sync(() => expect(fingerprint(sql)).toBe(expected)))

folds(
  "parameters and literals are one mark",
  "select * from t1 where a = $1 and b = 'x''y' and c = -1.5e3",
  "select * from t1 where a = ? and b = ? and c = ?"
)
folds("lists of any length are the same", "select 1 where x in ($1,$2, $3::uuid)", "select ? where x in (?+)")
folds(
  "rows of any number are the same",
  "insert into t(a,b) values ($1,$2),($3,$4),($5,$6)",
  "insert into t(a,b) values (?+)+"
)
folds(
  "white space and comments are gone",
  "select  a -- why's that\n  from\tt /* two\nlines */ where b",
  "select a from t where b"
)
folds("names keep their digits", `select a1, "b 2" from t_3`, `select a1, "b 2" from t_3`)
folds("dollar quotes and escape strings are literals", "do $x$ select 1 $x$; select E'a\\nb'", "do ?; select ?")

folds(
  "a backslash hides a quote in escape strings alone",
  String.raw`select E'it\'s', e'\\', 'a\', b`,
  "select ?, ?, ?, b"
)
folds("the last letter of a name is no mark of an escape string", String.raw`select date'\' , a`, "select date? , a")
folds("an escape string goes on after a new line", "select E'a' -- b'c\n  'it\\'s', d", "select ?, d")
folds(
  "bits, national and Unicode strings are literals",
  String.raw`select b'1', X'1f', N'a''b', U&'\0061'`,
  "select ?, ?, ?, ?"
)
folds("the tag of a dollar quote is any name", "select $é$a $b$ c$é$, $$d$$, $1", "select ?, ?, ?")
folds("dollars belong to a name that they stand in", "select a$b$ 'c$b$d', e from f", "select a$b$ ?, e from f")
folds("comments may stand in comments", "select a /* b /* c */ it's */ from t", "select a from t")
folds("a comment ends with its line, of any system", "select a -- it's\r, b", "select a , b")
folds(
  "quotes belong to a name that they stand in",
  `select "it's""" from t where a = 'b'`,
  `select "it's""" from t where a = ?`
)
folds(
  "numbers are written in many ways",
  "select 1E5, 1.e-5, .5, 0xFF, 1_000, a-2, (b)-3",
  "select ?, ?, ?, ?, ?, a-?, (b)-?"
)
folds("what is never closed is a literal", `select a, "b = 'c'`, "select a, ?")

/** What it is sought by; the pieces around it are what ends, begins or hides literals. */
const secret = "secret"
const piece = fc.constantFrom("'", '"', "\\", "$", "$a$", "/*", "*/", "--", "\n", " ", "E'", "7", "é", "(", ",", secret)
const hostile = fc.array(piece, { maxLength: 12 }).map((all) => `${all.join("")}${secret}${all.reverse().join("")}`)
const doubled = (text: string): string => text.replaceAll("'", "''")

/** A part of a statement, and what its fingerprint has in its place. */
type Part = readonly [sql: string, form: string]

const literal = fc.oneof(
  hostile.map((text) => `'${doubled(text)}'`),
  hostile.map((text) => `U&'${doubled(text)}'`),
  hostile.map((text) => `E'${text.replace(/['\\]/g, "\\$&")}'`),
  hostile.map((text) => `e'${doubled(text.replaceAll("\\", "\\\\"))}'`),
  fc
    .tuple(hostile, fc.constantFrom("", "b", "_1", "é"))
    .map(([text, tag]) => `$${tag}$${text.replaceAll("$", "")}$${tag}$`),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String)
)
const part: fc.Arbitrary<Part> = fc.oneof(
  literal.map((sql): Part => [sql, "?"]),
  fc.constantFrom(`"it's"`, `"a""$$"`, '"/*"', "b$1$", "e7").map((name): Part => [name, name]),
  hostile.map((text): Part => [`/* ${text.replace(/\*\/|\/\*/g, (edge) => (edge === "/*" ? "/* */" : ""))} */`, ""]),
  hostile.map((text): Part => [`-- ${text.replaceAll("\n", "")}\n`, ""])
)
const statement = fc.array(part, { minLength: 1, maxLength: 8 })

it("no literal and no comment is left, whatever it holds, and all that is none", () =>
  Effect.sync(() =>
    fc.assert(
      fc.property(statement, (parts) => {
        const [sql, form] = [0, 1].map((side) => parts.map((one) => one[side]).join(" , "))
        expect(fingerprint(`select ${sql}`)).toBe(`select ${form}`.replace(/\s+/g, " ").trim())
      }),
      { numRuns: 2_000 }
    )
  ))

it("no value is left of a statement that is cut off anywhere", () =>
  Effect.sync(() =>
    fc.assert(
      fc.property(statement, fc.nat({ max: 400 }), (parts, length) => {
        const sql = `select ${parts.map(([text]) => text).join(" , ")}`
        expect(fingerprint(sql.slice(0, length))).not.toContain(secret)
      }),
      { numRuns: 2_000 }
    )
  ))

it("a hostile statement is read in the time of any other", () =>
  Effect.sync(() => {
    const signs = String.raw`' " $ $a $a$ /* /**/ -- (?, (?:: E'\ \' 1e -`.split(" ")
    const patterns = [...signs, "E''\n", "E''--\n", " "]
    const began = performance.now()
    for (const first of patterns) {
      for (const second of patterns) {
        fingerprint(first + second.repeat(100_000))
        fingerprint((first + second).repeat(50_000))
      }
    }
    expect((performance.now() - began) / patterns.length ** 2).toBeLessThan(20)
  }))

it("a plan has no text of its statement, whatever its names are", () =>
  Effect.sync(() =>
    expect(scrubbed(`Filter: (("it's" = 'a''b'::text) AND (c = 'd`)).toBe(`Filter: (("it's" = ?::text) AND (c = ?`)
  ))

it("a plan has no number of its statement either, and all of the planner's", () =>
  Effect.sync(() =>
    expect(
      scrubbed(
        `Index Scan using t1_pkey on t1  (cost=0.15..8.17 rows=1 width=36)\n  Index Cond: (id = 42)\n  Filter: (("a 7" > '-1.5'::numeric) AND (b <> 1e6) AND (c = $1) AND (d2 = '-3'::integer) AND (e = (SubPlan 2)))`
      )
    ).toBe(
      `Index Scan using t1_pkey on t1  (cost=0.15..8.17 rows=1 width=36)\n  Index Cond: (id = ?)\n  Filter: (("a 7" > ?::numeric) AND (b <> ?) AND (c = $1) AND (d2 = ?::integer) AND (e = (SubPlan 2)))`
    )
  ))

it("a literal that is cut off is gone as well", () =>
  Effect.sync(() => expect(fingerprint(`select 'a -- b', 'secret${"x".repeat(20_000)}'`)).toBe("select ?, ?")))

it("a fingerprint has a bound", () =>
  Effect.sync(() => expect(fingerprint("select a, ".repeat(10_000)).length).toBeLessThanOrEqual(fingerprintLengthMax)))

it("a plan is asked for of one statement: what stands behind it would run", () =>
  Effect.sync(() => {
    for (const text of [
      "select 1",
      "select ';' as a; ",
      "select 1 -- ; delete from a",
      "with a as (select 1) select $1 /* ;x */"
    ])
      expect([text, Plans.isPlannable(text)]).toEqual([text, true])
    for (const text of ["select 1; delete from a", "insert into a values ('x');select 2", "drop table a"])
      expect([text, Plans.isPlannable(text)]).toEqual([text, false])
  }))
