import type { ConstDirectiveNode, DefinitionNode, DocumentNode, FieldDefinitionNode, TypeNode } from "graphql"
import { Kind, parse } from "graphql"
import { contract } from "./contract.ts"
import type { Part } from "./Part.ts"

/** What the parts together resolve. `fields` has the names of `Type.field`. */
export interface Resolvable {
  readonly fields: ReadonlySet<string>
  readonly nodes: ReadonlySet<string>
}

const roots = ["Query", "Mutation", "Subscription"] as const

const isRoot = (type: string): boolean => (roots as ReadonlyArray<string>).includes(type)

/** The names of what these parts resolve. */
export const resolvable = (parts: ReadonlyArray<Part>): Resolvable => {
  const fields = new Set<string>()
  const nodes = new Set<string>()
  for (const part of parts) {
    for (const root of roots) for (const name of Object.keys(part[root] ?? {})) fields.add(`${root}.${name}`)
    for (const [type, of] of Object.entries(part.types ?? {}))
      for (const name of Object.keys(of)) fields.add(`${type}.${name}`)
    for (const type of Object.keys(part.nodes ?? {})) nodes.add(type)
  }
  if (nodes.size > 0) fields.add("Query.node")
  return { fields, nodes }
}

/** Every `Type.field` of the contract, and the types that implement Node. */
export const contractNames = (): Resolvable => {
  const fields = new Set<string>()
  const nodes = new Set<string>()
  for (const type of parse(contract).definitions) {
    if (type.kind !== Kind.OBJECT_TYPE_DEFINITION) continue
    for (const field of type.fields ?? []) fields.add(`${type.name.value}.${field.name.value}`)
    if ((type.interfaces ?? []).some((of) => of.name.value === "Node")) nodes.add(type.name.value)
  }
  return { fields, nodes }
}

const named = (type: TypeNode): string => (type.kind === Kind.NAMED_TYPE ? type.name.value : named(type.type))

const isMark = (directive: ConstDirectiveNode): boolean => directive.name.value === "resolved"
const ours: ReadonlySet<string> = new Set(["resolved", "cacheControl", "vital", "send", "bulk"])
const isOurs = (directive: ConstDirectiveNode): boolean => ours.has(directive.name.value)

/** A property of its parent, or resolved by some part. */
const isServed = (type: string, field: FieldDefinitionNode, by: Resolvable): boolean =>
  by.fields.has(`${type}.${field.name.value}`) ||
  !(isRoot(type) || (field.arguments ?? []).length > 0 || (field.directives ?? []).some(isMark))

const onlyServed = (definition: DefinitionNode, by: Resolvable): DefinitionNode =>
  definition.kind === Kind.OBJECT_TYPE_DEFINITION
    ? {
        ...definition,
        fields: (definition.fields ?? [])
          .filter((field) => isServed(definition.name.value, field, by))
          .map((field) => ({ ...field, directives: (field.directives ?? []).filter((one) => !isOurs(one)) }))
      }
    : definition

/** GraphQL wants a Query: a program with mutations alone has its name there. */
const serviceQuery = parse(`type Query { "what answers" service: String! }`).definitions[0]!

const mentioned = (definition: DefinitionNode): ReadonlyArray<string> => {
  switch (definition.kind) {
    case Kind.OBJECT_TYPE_DEFINITION:
    case Kind.INTERFACE_TYPE_DEFINITION:
      return [
        ...(definition.interfaces ?? []).map(named),
        ...(definition.fields ?? []).flatMap((field) => [
          named(field.type),
          ...(field.arguments ?? []).map((argument) => named(argument.type))
        ])
      ]
    case Kind.UNION_TYPE_DEFINITION:
      return (definition.types ?? []).map(named)
    case Kind.INPUT_OBJECT_TYPE_DEFINITION:
      return (definition.fields ?? []).map((field) => named(field.type))
    default:
      return []
  }
}

/** The contract as these parts can serve it: no field without a resolver, no type that nothing leads to. */
export const servedSchema = (by: Resolvable): DocumentNode => {
  const types = new Map<string, DefinitionNode>()
  for (const definition of parse(contract).definitions) {
    if ("name" in definition && definition.name !== undefined && definition.kind !== Kind.DIRECTIVE_DEFINITION) {
      types.set(definition.name.value, onlyServed(definition, by))
    }
  }
  for (const root of roots) {
    const type = types.get(root)
    if (type?.kind === Kind.OBJECT_TYPE_DEFINITION && type.fields?.length === 0) types.delete(root)
  }
  if (!types.has("Query")) types.set("Query", serviceQuery)

  const reached = new Set<string>()
  const follow = [...roots.filter((root) => types.has(root)), ...by.nodes]
  for (let name = follow.pop(); name !== undefined; name = follow.pop()) {
    const type = types.get(name)
    if (type === undefined || reached.has(name)) continue
    reached.add(name)
    follow.push(...mentioned(type))
  }
  return { kind: Kind.DOCUMENT, definitions: [...types].filter(([name]) => reached.has(name)).map(([, type]) => type) }
}
