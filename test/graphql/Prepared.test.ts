import { describe, expect, test } from "bun:test"
import { buildSchema, execute, type ExecutionResult, isInterfaceType } from "graphql"
import * as fc from "fast-check"
import * as Prepared from "../../src/graphql/Prepared.ts"
import type { Run } from "../../src/graphql/Run.ts"

const schema = buildSchema(`
  type Query {
    n(add: Int = 0): Int!, self: Query, list(of: [ID!]!): [ID!]!, none: Int!, bad: Int, holes: [Int!]
    some: Some!, many: [Some!]!, grid: [[Int!]], rows: [[Query!]]!, table: [[Query!]!]
  }
  interface Some { of: Int! }
  type One implements Some { of: Int! }
  type Subscription { ticks: Int }
`)
const some = schema.getType("Some")
if (isInterfaceType(some)) some.resolveType = () => "One"
const one = { __typename: "One", of: 1 }
const nobody = { __typename: "One", of: null }
const root: Record<string, unknown> = {
  n: 1,
  list: ["a"],
  none: null,
  bad: 2 ** 40,
  holes: [1, null, 3],
  some: one,
  many: [one, nobody, one],
  grid: [[1], null, [2, null, 3]]
}
root["self"] = root
root["rows"] = root["table"] = [[root, root], [{ n: 2 }]]
const run = {} as Run

const prepared = () => Prepared.make(schema, { explorer: true })

const ready = (of: Prepared.Prepared, query: string, name?: string): Prepared.Operation => {
  const operation = of.prepare(query, name)
  if ("errors" in operation) throw new Error(operation.errors[0]?.message)
  return operation
}

describe("prepared documents", () => {
  test("the same text is prepared once", () => {
    const of = prepared()
    expect(ready(of, "{ n }")).toBe(ready(of, "{ n }"))
    expect(of.size()).toBe(1)
  })

  test("the answer is that of graphql's own executor, errors and their places included", () => {
    const selection = fc.letrec<{ field: string; set: string }>((tie) => ({
      field: fc.oneof(
        { depthSize: "small" },
        fc.constantFrom("n", "none", "bad", "__typename", "a: n(add: 2)", "list(of: [1, 2])"),
        fc.constantFrom("__proto__: n", "holes", "some { of }", "many { of }", "grid", "none @include(if: $yes)"),
        fc.constantFrom("n @skip(if: $yes)", "n @include(if: $yes)", "...F", "... on Query { n }"),
        fc.tuple(fc.constantFrom("self", "rows", "table"), tie("set")).map((pair) => pair.join(" "))
      ),
      set: fc.array(tie("field"), { minLength: 1, maxLength: 3 }).map((fields) => `{ ${fields.join(" ")} }`)
    }))
    fc.assert(
      fc.property(selection.set, fc.boolean(), (set, yes) => {
        const query = `query Q($yes: Boolean!) { n @skip(if: $yes) ...F self ${set} } fragment F on Query { n }`
        const operation = prepared().prepare(query, undefined)
        fc.pre(!("errors" in operation))
        const answer = operation.execute(run, { yes }, root) as ExecutionResult
        const oracle = execute({ schema, document: operation.document, rootValue: root, variableValues: { yes } })
        expect(JSON.stringify(answer)).toBe(JSON.stringify(oracle))
      }),
      { numRuns: 300 }
    )
  })

  test("a document that was refused is not kept", () => {
    const of = prepared()
    for (const query of ["{", "{ nothing }", "fragment F on Query { n }"]) {
      expect(of.prepare(query, undefined)).toHaveProperty("errors")
    }
    expect(of.size()).toBe(0)
  })

  test("a subscription whose field may be skipped is refused, and has always something to subscribe to", () => {
    const of = prepared()
    for (const query of [
      "subscription { ticks @skip(if: true) }",
      "subscription ($on: Boolean!) { ...F @include(if: $on) } fragment F on Subscription { ticks }",
      "subscription { ...F } fragment F on Subscription { ... on Subscription { ticks @include(if: false) } }"
    ])
      expect(of.prepare(query, undefined)).toMatchObject({ errors: [{ extensions: { code: "BAD_REQUEST" } }] })
    expect(ready(of, "subscription { ...F } fragment F on Subscription { ticks }").type as string).toBe("subscription")
  })

  test("no more than the bound are kept, and what is used stays", () => {
    const of = prepared()
    const often = ready(of, "{ self { n } }")
    for (let i = 0; i < Prepared.documentsMax + 50; i++) {
      of.prepare(`{ n(add: ${i}) }`, undefined)
      if (i % 100 === 0) expect(ready(of, "{ self { n } }")).toBe(often)
    }
    expect(of.size()).toBe(Prepared.documentsMax)
    const long = `{ n ${" ".repeat(Prepared.documentCharactersMax)} }`
    expect(ready(of, long)).not.toBe(ready(of, long))
  })

  test("fragments count where they are spread, and one that spreads itself is refused", () => {
    const spread = "... on Query { ...A } ".repeat(8)
    const many = `{ ${spread} } fragment A on Query { a: n b: n }`
    expect(prepared().prepare(many, undefined)).toHaveProperty(
      ["errors", 0, "message"],
      "The document has 16 aliases, at most 15 are allowed"
    )
    const nested = Array.from({ length: 9 }, (_, i) => `fragment F${i} on Query { self { ...F${i + 1} } }`).join(" ")
    expect(prepared().prepare(`{ self { ...F0 } } ${nested} fragment F9 on Query { n }`, undefined)).toHaveProperty(
      ["errors", 0, "extensions", "code"],
      "BAD_REQUEST"
    )
    expect(prepared().prepare("{ ...A } fragment A on Query { self { ...A } }", undefined)).toHaveProperty(
      ["errors", 0, "extensions", "code"],
      "VALIDATION_FAILED"
    )
  })
})
