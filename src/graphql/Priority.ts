import type { DocumentNode, FieldDefinitionNode, GraphQLSchema, OperationDefinitionNode } from "graphql"
import { getNamedType, Kind, parse, TypeInfo, visit, visitWithTypeInfo } from "graphql"
import { contract } from "./contract.ts"

/** The classes by which load is shed, the last one first. The contract marks its fields with them, but for `read`. */
export const names = ["vital", "send", "read", "bulk"] as const

/** The place of a class among `names`: a smaller one is shed later. */
export type Priority = 0 | 1 | 2 | 3

export const vital: Priority = 0
export const read: Priority = 2
export const bulk: Priority = 3

const markOf = (field: FieldDefinitionNode): Priority | undefined => {
  const marked = new Set(field.directives?.map(({ name }) => name.value))
  const place = names.findIndex((name) => marked.has(name))
  return place === -1 ? undefined : (place as Priority)
}

/** What the contract says of each `Type.field`. */
const marks: ReadonlyMap<string, Priority> = new Map(
  parse(contract).definitions.flatMap((type) =>
    type.kind !== Kind.OBJECT_TYPE_DEFINITION
      ? []
      : (type.fields ?? []).flatMap((field) => {
          const mark = markOf(field)
          return mark === undefined ? [] : [[`${type.name.value}.${field.name.value}`, mark] as const]
        })
  )
)

/**
 * The class of one operation: the lowest of all its fields. A root field without a mark is a read; below it only pages
 * count, as reads, so that nobody gets a list sooner for asking it of a message that was sent. What asks about the
 * schema itself is bulk.
 */
export const of = (schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode): Priority => {
  const roots = new Set([schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()])
  const types = new TypeInfo(schema)
  let lowest: Priority = vital
  const definitions = document.definitions.filter((one) => one === operation || one.kind === Kind.FRAGMENT_DEFINITION)
  visit(
    { ...document, definitions },
    visitWithTypeInfo(types, {
      Field: () => {
        const [parent, field] = [types.getParentType(), types.getFieldDef()]
        if (field === undefined || field === null || field.name === "__typename") return
        const own = marks.get(`${parent?.name}.${field.name}`)
        const isRoot = roots.has(parent as never)
        const isPage = getNamedType(field.type).name.endsWith("Connection")
        const priority = field.name.startsWith("__") ? bulk : (own ?? (isRoot || isPage ? read : vital))
        if (priority > lowest) lowest = priority
      }
    })
  )
  return lowest
}
