import { describe, expect, test } from "bun:test"
import { buildSchema, execute, parse, validate } from "graphql"
import * as Failures from "../../src/graphql/Failures.ts"

const schema = buildSchema(`
  enum Colour { RED }
  input In { n: Int!, s: String, colour: Colour, deeper: In }
  type Query { f(in: In, n: Int, s: String, id: ID, yes: Boolean, colour: Colour): Int }
`)

const canary = "hunter2; or so"

/** What graphql says of a document or of its variables, as it leaves. */
const said = (query: string, variables?: Record<string, unknown>): ReadonlyArray<string> => {
  const document = parse(query)
  const errors = validate(schema, document)
  const all =
    errors.length > 0
      ? errors
      : ((execute({ schema, document, variableValues: variables }) as { readonly errors?: typeof errors }).errors ?? [])
  expect(all.length).toBeGreaterThan(0)
  return all.map(({ message }) => Failures.withoutValue(message))
}

describe("what graphql complains of", () => {
  test("is told without the value, for variables and literals of every kind", () => {
    const wrong: Readonly<Record<string, unknown>> = {
      In: { n: canary, s: canary },
      "In!": null,
      "[In]": [canary],
      Int: canary,
      Boolean: canary,
      Colour: canary,
      String: { canary },
      ID: [canary]
    }
    const uses: Readonly<Record<string, string>> = {
      "In!": "in",
      "[In]": "in",
      In: "in",
      Int: "n",
      Boolean: "yes",
      Colour: "colour",
      String: "s",
      ID: "id"
    }
    for (const [type, value] of Object.entries(wrong)) {
      if (type === "[In]") continue
      for (const text of said(`query ($v: ${type}) { f(${uses[type]}: $v) }`, { v: value })) {
        expect(text).not.toContain("hunter2")
        expect(text).toStartWith('Variable "$v"')
      }
    }
    for (const literal of [
      `n: "${canary}"`,
      `yes: "${canary}"`,
      `colour: "${canary}"`,
      `colour: HUNTER2`,
      `in: "${canary}"`,
      `in: { n: "${canary}" }`
    ])
      for (const text of said(`{ f(${literal}) }`)) expect(text.toLowerCase()).not.toContain("hunter2")
  })

  test("is told without the text that stands where none may", () => {
    for (const query of [`{ "${canary}" }`, `{ f(n: 1) """${canary}""" }`]) {
      expect(() => parse(query)).toThrow()
      try {
        parse(query)
      } catch (error) {
        expect(Failures.withoutValue((error as Error).message)).toMatch(/^Syntax Error: .*String$/)
      }
    }
  })

  test("still says where and why", () => {
    const ask = (value: unknown) => said("query ($v: In) { f(in: $v) }", { v: value })
    expect(ask({ n: canary })).toEqual([
      'Variable "$v" got an invalid value at "v.n": Int cannot represent non-integer value'
    ])
    expect(ask({ n: 1, shoe: 1 })).toEqual([
      'Variable "$v" got an invalid value: Field "shoe" is not defined by type "In"'
    ])
    expect(ask({ s: canary })).toEqual([
      'Variable "$v" got an invalid value: Field "n" of required type "Int!" was not provided'
    ])
    expect(said(`{ f(n: "${canary}") }`)).toEqual(["Int cannot represent non-integer value"])
  })
})
