import type {
  DocumentNode,
  FieldDefinitionNode,
  FragmentDefinitionNode,
  GraphQLSchema,
  OperationDefinitionNode,
  SelectionSetNode
} from "graphql"
import {
  getNamedType,
  isAbstractType,
  isCompositeType,
  isInterfaceType,
  isObjectType,
  Kind,
  parse,
  typeFromAST
} from "graphql"
import type { GraphQLCompositeType, GraphQLField, GraphQLObjectType } from "graphql"
import { contract } from "./contract.ts"
import { bounds } from "./Plan.ts"

/**
 * How long answers may be kept, and for whom. `PRIVATE`: the viewer who asked, and nobody who has not signed in;
 * `PUBLIC`: everybody.
 */
export interface CachePolicy {
  readonly maxAgeSeconds: number
  readonly scope: "PUBLIC" | "PRIVATE"
}

const hintOf = (field: FieldDefinitionNode): CachePolicy | undefined => {
  const mark = field.directives?.find((directive) => directive.name.value === "cacheControl")
  if (mark === undefined) return undefined
  let maxAgeSeconds = 0
  let scope: CachePolicy["scope"] = "PRIVATE"
  for (const { name, value } of mark.arguments ?? []) {
    if (name.value === "maxAge" && value.kind === Kind.INT) maxAgeSeconds = Number(value.value)
    if (name.value === "scope" && value.kind === Kind.ENUM) scope = value.value === "PUBLIC" ? "PUBLIC" : "PRIVATE"
  }
  return { maxAgeSeconds, scope }
}

/** What the contract says of each `Type.field`. */
const hints: ReadonlyMap<string, CachePolicy> = new Map(
  parse(contract).definitions.flatMap((type) =>
    type.kind !== Kind.OBJECT_TYPE_DEFINITION
      ? []
      : (type.fields ?? []).flatMap((field) => {
          const hint = hintOf(field)
          return hint === undefined ? [] : [[`${type.name.value}.${field.name.value}`, hint] as const]
        })
  )
)

const never: CachePolicy = { maxAgeSeconds: 0, scope: "PRIVATE" }

/**
 * The hint of a field of an object. Without one, a property lives as long as the object it stands in, and so does its
 * id; what somebody resolves lives no time at all.
 */
const policyOf = (type: GraphQLObjectType, name: string): CachePolicy | undefined => {
  const field = type.getFields()[name]
  return (
    hints.get(`${type.name}.${name}`) ??
    (name !== "id" && field !== undefined && (bounds.has(field) || field.resolve !== undefined) ? never : undefined)
  )
}

/** The policy of one query over this schema; undefined when its answers may not be kept at all. */
export const of = (
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode
): CachePolicy | undefined => {
  if (operation.operation !== "query") return undefined
  const root = schema.getQueryType()
  const fragments = new Map<string, FragmentDefinitionNode>()
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition)
  }
  let maxAgeSeconds = Number.POSITIVE_INFINITY
  let scope: CachePolicy["scope"] = "PUBLIC"
  const spread = new Set<string>()

  const apply = (hint: CachePolicy | undefined): void => {
    if (hint === undefined) return
    maxAgeSeconds = Math.min(maxAgeSeconds, hint.maxAgeSeconds)
    if (hint.scope === "PRIVATE") scope = "PRIVATE"
  }

  /** A field of an interface is as careful as the most careful of its objects. */
  const owners = (type: GraphQLCompositeType): ReadonlyArray<GraphQLObjectType> =>
    isAbstractType(type) ? schema.getPossibleTypes(type) : [type]

  const fieldOf = (type: GraphQLCompositeType, name: string): GraphQLField<unknown, unknown> | undefined =>
    isObjectType(type) || isInterfaceType(type) ? type.getFields()[name] : undefined

  const walk = (type: GraphQLCompositeType, set: SelectionSetNode): void => {
    for (const selection of set.selections) {
      if (selection.kind === Kind.FRAGMENT_SPREAD) {
        const fragment = fragments.get(selection.name.value)
        const key = `${type.name} ${selection.name.value}`
        if (fragment === undefined || spread.has(key)) continue
        spread.add(key)
        const on = typeFromAST(schema, fragment.typeCondition)
        if (isCompositeType(on)) walk(on, fragment.selectionSet)
        continue
      }
      if (selection.kind === Kind.INLINE_FRAGMENT) {
        const on = selection.typeCondition === undefined ? type : typeFromAST(schema, selection.typeCondition)
        if (isCompositeType(on)) walk(on, selection.selectionSet)
        continue
      }
      const name = selection.name.value
      // What the schema says of itself is asked by tools, seldom and at length.
      if (name === "__schema" || name === "__type") maxAgeSeconds = 0
      for (const owner of owners(type)) apply(policyOf(owner, name))
      const field = fieldOf(type, name)
      const inner = field === undefined ? undefined : getNamedType(field.type)
      if (selection.selectionSet !== undefined && isCompositeType(inner)) walk(inner, selection.selectionSet)
    }
  }

  if (root === undefined || root === null) return undefined
  walk(root, operation.selectionSet)
  return maxAgeSeconds > 0 && Number.isFinite(maxAgeSeconds) ? { maxAgeSeconds, scope } : undefined
}
