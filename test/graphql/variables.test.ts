import { expect, test } from "bun:test"
import fc from "fast-check"
import type { FieldNode, OperationDefinitionNode } from "graphql"
import { buildSchema, getArgumentValues, getVariableValues, parse } from "graphql"
import { coercer, reader } from "../../src/graphql/variables.ts"

const schema = buildSchema(`
  input Box { a: Int! b: [String!] }
  enum Colour { RED BLUE }
  type Query {
    field(id: ID, need: ID!, text: String = "x", must: Int! = 3, flag: Boolean, share: Float, box: Box, colour: Colour,
      list: [Int!]): Int
  }
`)
const field = schema.getQueryType()!.getFields()["field"]!
const types = ["ID", "ID!", "String", "Int", "Int!", "Boolean", "Float", "Box", "Colour", "[Int!]"]
const names = ["v", "w", "toString"]

const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(null, undefined, true, 0, -0, 7, 1.5, Number.NaN, 4_294_967_296, "", "7", "RED"),
    fc.array(tie("any"), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom("a", "b"), tie("any"), { maxKeys: 2 })
  )
})).any

const operationOf = (text: string) => parse(text).definitions[0] as OperationDefinitionNode

const outcome = <A>(run: () => A): unknown => {
  try {
    return run()
  } catch (error) {
    return String(error)
  }
}

test("variables are coerced as graphql does", () => {
  const declared = fc.tuple(fc.constantFrom(...names), fc.constantFrom(...types), fc.constantFrom("", "", "null", "7"))
  fc.assert(
    fc.property(
      fc.uniqueArray(declared, { selector: ([name]) => name, minLength: 1, maxLength: 3 }),
      fc.array(fc.dictionary(fc.constantFrom(...names, "__proto__"), value, { maxKeys: 3 }), { minLength: 10 }),
      (variables, all) => {
        const list = variables.map(([name, type, filled]) => `$${name}: ${type}${filled === "" ? "" : ` = ${filled}`}`)
        const operation = operationOf(`query (${list.join(", ")}) { __typename }`)
        const coerce = coercer(schema, operation)
        for (const given of all) {
          const said = getVariableValues(schema, operation.variableDefinitions!, given, { maxErrors: 50 })
          expect(coerce(given)).toStrictEqual(said)
        }
      }
    ),
    { numRuns: 500 }
  )
})

test("arguments are read as graphql does", () => {
  const passed = fc.tuple(
    fc.constantFrom(...field.args.map(({ name }) => name)),
    fc.constantFrom("$v", "$w", "$toString", "1", "null", `"x"`)
  )
  fc.assert(
    fc.property(
      fc.uniqueArray(passed, { selector: ([name]) => name, maxLength: 4 }),
      fc.array(fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 3 }), { minLength: 10 }),
      (given, all) => {
        const list = given.map(([name, written]) => `${name}: ${written}`)
        const operation = operationOf(`{ field${list.length === 0 ? "" : `(${list.join(", ")})`} }`)
        const node = operation.selectionSet.selections[0] as FieldNode
        const read = reader(field, node)
        for (const variables of all) {
          expect(outcome(() => read(variables))).toStrictEqual(outcome(() => getArgumentValues(field, node, variables)))
        }
      }
    ),
    { numRuns: 500 }
  )
})
