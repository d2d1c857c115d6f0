import type { ValueNode } from "graphql"
import { GraphQLError, GraphQLScalarType, Kind } from "graphql"

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/

const refuse = (message: string, node?: ValueNode): never => {
  throw new GraphQLError(message, node === undefined ? {} : { nodes: node })
}

const text = (name: string, valid: (value: string) => boolean, expected: string) => {
  const read = (value: unknown, node?: ValueNode): string =>
    typeof value === "string" && valid(value) ? value : refuse(`${name} ${expected}`, node)
  return {
    parseValue: (value: unknown) => read(value),
    parseLiteral: (node: ValueNode) => read(node.kind === Kind.STRING ? node.value : undefined, node)
  }
}

/** `Date.parse` takes the 30th of February for a day in March. */
const isTime = (value: string): boolean =>
  rfc3339.test(value) &&
  !Number.isNaN(Date.parse(value)) &&
  new Date(`${value.slice(0, 10)}T00:00Z`).toISOString().startsWith(value.slice(0, 10))

/** Times that are remembered as text; when there are more, all are forgotten. */
export const rememberedMax = 4_096

const remembered = new Map<number, string>()

/** What two people read in a talk are the same times: remembering them costs a third of writing them again. */
const timeText = (time: Date): string => {
  const millis = time.getTime()
  const known = remembered.get(millis)
  if (known !== undefined) return known
  const made = time.toISOString()
  if (remembered.size >= rememberedMax) remembered.clear()
  remembered.set(millis, made)
  return made
}

const opaque = (name: string): GraphQLScalarType =>
  new GraphQLScalarType({ name, serialize: String, ...text(name, () => true, "is a string") })

/**
 * The scalars of the contract. A DateTime is a Date in what resolvers return, and RFC 3339 text in arguments, which the
 * field's Schema decodes (`Schema.Date`). The other two are strings whose form the field's Schema checks.
 */
export const scalars: Readonly<Record<string, GraphQLScalarType>> = {
  DateTime: new GraphQLScalarType({
    name: "DateTime",
    serialize: (value) => (value instanceof Date ? timeText(value) : refuse("DateTime is not a Date")),
    ...text("DateTime", isTime, "is RFC 3339 text such as 2026-01-31T12:00:00.000Z")
  }),
  Cursor: opaque("Cursor"),
  ClientKey: opaque("ClientKey")
}
