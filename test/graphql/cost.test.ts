import { describe, expect, test } from "bun:test"
import { buildSchema, parse, type OperationDefinitionNode } from "graphql"
import { contract } from "../../src/graphql/contract.ts"
import * as Cost from "../../src/graphql/cost.ts"

const schema = buildSchema(contract)

const costOf = (query: string, variables: Readonly<Record<string, unknown>> = {}): number => {
  const document = parse(query)
  const operation = document.definitions.find(({ kind }) => kind === "OperationDefinition") as OperationDefinitionNode
  return Cost.of(schema, document, operation)(variables)
}

describe("the cost of an operation", () => {
  test("an object costs two, a scalar one, and each level a fifth more", () => {
    expect(costOf("{ queueStats { waiting } }")).toBe(Math.ceil(2 + 1.2))
    expect(costOf("{ viewer { role user { id handle } } }")).toBe(Math.ceil(2 + 1.2 * (1 + 2 + 1.2 * 2)))
    expect(costOf("mutation { signOut }")).toBe(1)
  })

  test("a page counts as often as it may have items: literal, by variable, by default", () => {
    const page = (first: string) => `($n: Int = 7) { history${first} { edges { node { id } } } }`
    const one = 1.2 * (2 + 1.2 * (2 + 1.2))
    expect(costOf(`query ${page("(first: 10)")}`)).toBe(Math.ceil(2 + 10 * one))
    expect(costOf(`query ${page("")}`)).toBe(Math.ceil(2 + 20 * one))
    expect(costOf(`query ${page("(first: $n)")}`)).toBe(Math.ceil(2 + 7 * one))
    expect(costOf(`query ${page("(first: $n)")}`, { n: 3 })).toBe(Math.ceil(2 + 3 * one))
    expect(costOf(`query ${page("(first: $n)")}`, { n: 1e9 })).toBe(Math.ceil(2 + 100 * one))
    expect(costOf(`query ${page("(first: $n)")}`, { n: "many" })).toBe(Math.ceil(2 + 7 * one))
    expect(costOf("{ interaction(id: 1) { messages { edges { cursor } } } }")).toBe(
      costOf("{ interaction(id: 1) { messages(last: 20) { edges { cursor } } } }")
    )
  })

  test("a list without pages counts as five, and fragments and aliases each time they are asked for", () => {
    expect(costOf("{ viewer { sessions { id } } }")).toBe(Math.ceil(2 + 1.2 * (2 + 5 * 1.2)))
    const once = costOf("{ queueStats { ...F } } fragment F on QueueStats { waiting }")
    expect(once).toBe(costOf("{ queueStats { ... on QueueStats { waiting } } }"))
    expect(costOf("{ a: queueStats { waiting } b: queueStats { waiting } }")).toBe(Math.ceil(2 * (2 + 1.2)))
  })

  test("fragments of fragments multiply the cost, and not the work of finding it", () => {
    const doubling = Array.from(
      { length: 100 },
      (_, i) => `fragment F${i} on Query { ${i === 99 ? "queueStats { waiting }" : `...F${i + 1} ...F${i + 1}`} }`
    )
    const begun = performance.now()
    expect(costOf(`{ ...F0 } ${doubling.join(" ")}`)).toBeGreaterThan(2 ** 99)
    expect(performance.now() - begun).toBeLessThan(100)
  })

  test("pages within pages go above the bound, what a client shows at once does not", () => {
    const pages = (outer: number, inner: number) =>
      costOf(`{ history(first: ${outer}) { edges { node { id messages(last: ${inner}) { edges { node {
        seq body createdAt sender { id handle displayName } } } } } } } }`)
    expect(pages(20, 1)).toBeLessThan(20_000)
    expect(pages(1, 100)).toBeLessThan(20_000)
    expect(pages(100, 100)).toBeGreaterThan(20_000)
  })
})
