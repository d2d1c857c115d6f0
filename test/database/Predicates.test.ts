import { expect, test } from "bun:test"
import { clauses, normal } from "../../src/database/optimizer/Predicates.ts"

/** As `left operator right`, for reading. */
const read = (filter: string, alias?: string) =>
  clauses(filter, alias).map(({ left, operator, right }) => `${left} ${operator} ${right}`.trim())

test("the conditions of a plan's filter are found, without brackets and casts of columns", () => {
  expect(read("(id = $1)")).toEqual(["id = $1"])
  expect(read("((state = 0) AND ((email)::text ~~ $1))")).toEqual(["state = 0", "email ~~ $1"])
  expect(read("(lower((email)::text) = $1)")).toEqual(["lower((email)::text) = $1"])
  expect(read("((data ->> 'kind'::text) = $1)")).toEqual(["(data ->> 'kind'::text) = $1"])
  expect(read("(id = ANY ($1))")).toEqual(["id = ANY ($1)"])
  expect(read("(tags && ARRAY[$1, $2])")).toEqual(["tags && ARRAY[$1, $2]"])
  expect(read("(words @@ websearch_to_tsquery($1))")).toEqual(["words @@ websearch_to_tsquery($1)"])
  expect(read("((ended_at IS NULL) AND (created_at > $1))")).toEqual(["ended_at IS NULL", "created_at > $1"])
  expect(read("(NOT done)")).toEqual(["done = false"])
  expect(read("paid")).toEqual(["paid = true"])
})

test("the table's alias is left out; other tables, ORs and computed conditions are not conditions for an index", () => {
  expect(read("(u.email = $1)", "u")).toEqual(["email = $1"])
  expect(read("(u.id = o.user_id)", "u")).toEqual([])
  expect(read("((a = $1) OR (b = $2))")).toEqual([])
  expect(read("((id)::text = (SubPlan 1))")).toEqual([])
})

test("an alias is left out as the plan writes it, and nothing else that ends in it", () => {
  expect(clauses(`("User"."Zed" = $1)`, "User").map(({ left }) => left)).toEqual([`"Zed"`])
  expect(clauses("((o.note ~~ 'foo.bar'::text) AND (o.id = info.id))", "o").map(({ right }) => right)).toEqual([
    "'foo.bar'::text"
  ])
})

test("predicates that say the same are the same", () => {
  const same = [
    "((state = 0) AND (ended_at IS NULL))",
    "ended_at IS NULL and state = 0",
    "(ended_at IS NULL) AND (state = 0)"
  ]
  expect(new Set(same.map(normal)).size).toBe(1)
  expect(normal("(state = 1)")).not.toBe(normal("(state = 0)"))
  expect(normal(null)).not.toBe(normal("((a = 1) OR (b = 2))"))
})

test("what a text says is not read as a condition", () => {
  expect(read("((body = 'x AND y = 1'::text) AND (n = 2))")).toEqual(["body = 'x AND y = 1'::text", "n = 2"])
  expect(read(`("Weird Name" = $1)`)).toEqual([`"Weird Name" = $1`])
})
