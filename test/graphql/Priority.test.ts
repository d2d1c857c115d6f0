import { expect, test } from "bun:test"
import { buildASTSchema, Kind, type OperationDefinitionNode, parse } from "graphql"
import * as Priority from "../../src/graphql/Priority.ts"
import { contractNames, servedSchema } from "../../src/graphql/servedSchema.ts"

const schema = buildASTSchema(servedSchema(contractNames()))

/** The class of the operation of this name, or of the only one. */
const classOf = (query: string, name?: string): string => {
  const document = parse(query)
  const operation = document.definitions.find(
    (one): one is OperationDefinitionNode =>
      one.kind === Kind.OPERATION_DEFINITION && (name === undefined || one.name?.value === name)
  )
  return Priority.names[Priority.of(schema, document, operation!)]!
}

test("signing out is vital, a message is sent before anything is read, searches and reports come last", () => {
  expect(classOf("mutation { signOut }")).toBe("vital")
  expect(classOf(`mutation { revokeSession(id: "x") }`)).toBe("vital")
  const send = `sendMessage(input: { interactionId: "i", clientKey: "k", body: "b" }) { id sender { handle } }`
  expect(classOf(`mutation { ${send} }`)).toBe("send")
  expect(classOf("{ viewer { user { id } } }")).toBe("read")
  expect(classOf(`mutation { joinQueue(input: { clientKey: "k" }) { id } }`)).toBe("read")
  expect(classOf("subscription { inbox { __typename } }")).toBe("read")
  expect(classOf(`{ searchUsers(text: "a") { edges { cursor } } }`)).toBe("bulk")
  expect(classOf("{ moderationQueue { edges { cursor } } }")).toBe("bulk")
  expect(classOf(`mutation { signIn(handle: "a", password: "b") { token } }`)).toBe("bulk")
  expect(classOf("{ __schema { queryType { name } } }")).toBe("bulk")
})

test("an operation has the lowest class of all its fields, wherever they hide", () => {
  expect(classOf("mutation { signOut leaveQueue }")).toBe("send")
  expect(classOf("mutation { signOut updateProfile(input: {}) { id } }")).toBe("read")
  expect(
    classOf(`mutation { signOut ...More } fragment More on Mutation { signIn(handle: "a", password: "b") { token } }`)
  ).toBe("bulk")
  expect(classOf("mutation { ... on Mutation { signOut leaveQueue @include(if: false) } }")).toBe("send")
  const list = `endInteraction(interactionId: "i") { messages(first: 50) { edges { cursor } } }`
  expect(classOf(`mutation { ${list} }`)).toBe("read")
  expect(classOf(`mutation { endInteraction(interactionId: "i") { id state } }`)).toBe("send")
  expect(classOf("query A { viewer { email } } mutation B { signOut }", "B")).toBe("vital")
  expect(classOf("mutation { signOut __typename }")).toBe("vital")
})
