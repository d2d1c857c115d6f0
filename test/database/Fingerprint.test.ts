import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import fc from "fast-check"
import { fingerprint, fingerprintLengthMax } from "../../src/database/Fingerprint.ts"
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

it("no value of a literal is left, whatever it holds", () =>
  Effect.sync(() =>
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.integer(), (text, number) => {
        const secret = `secret${text}`
        const sql = `select * from users where handle = '${secret.replaceAll("'", "''")}' and age > ${number}`
        expect(fingerprint(sql)).toBe("select * from users where handle = ? and age > ?")
      })
    )
  ))

it("a literal that is cut off is gone as well", () =>
  Effect.sync(() => expect(fingerprint(`select 'a -- b', 'secret${"x".repeat(20_000)}'`)).toBe("select ?, ?")))

it("a fingerprint has a bound", () =>
  Effect.sync(() => expect(fingerprint("select a, ".repeat(10_000)).length).toBeLessThanOrEqual(fingerprintLengthMax)))
