import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as Scope from "effect/Scope"
import type { GraphQLAbstractType, GraphQLField, GraphQLSchema } from "graphql"
import { buildASTSchema, isAbstractType, isObjectType, isScalarType } from "graphql"
import type { NodeType } from "../domain/Ids.ts"
import * as Ids from "../domain/Ids.ts"
import type { ConnectError } from "../errors.ts"
import { invalid } from "../errors.ts"
import { decoder } from "./Arguments.ts"
import type { Feed } from "./Feed.ts"
import * as CacheTags from "./CacheTags.ts"
import type { Field, Part, RequestContext, SubscriptionField } from "./Part.ts"
import { field } from "./Part.ts"
import { bounds } from "./Plan.ts"
import * as Run from "./Run.ts"
import { scalars } from "./scalars.ts"
import type { Resolvable } from "./servedSchema.ts"
import { contractNames, resolvable, servedSchema } from "./servedSchema.ts"

/** What a subscription's root field gives to graphql: async iterable in name only, read as a Feed. */
export interface Source extends AsyncIterable<never> {
  readonly feed: Feed<unknown, ConnectError>
}

/** The type of what `node` found: rows do not carry their type's name. */
const nodeTypes = new WeakMap<object, string>()

/**
 * The name of a value's type, for unions and interfaces: its `__typename`, else its `_tag`, else the type under which
 * `node(id)` found it.
 */
const typeOf = (value: unknown, abstract: GraphQLAbstractType): string => {
  const candidate = value as { readonly __typename?: unknown; readonly _tag?: unknown }
  const name = candidate.__typename ?? candidate._tag ?? nodeTypes.get(candidate)
  if (typeof name === "string") return name
  throw new Error(`A ${abstract.name} has neither __typename nor _tag`)
}

const bindField = (name: string, target: GraphQLField<unknown, Run.Run>, { args, resolve }: Field): void => {
  bounds.set(target, { name, decode: decoder(args), resolve, note: CacheTags.noter(target.type) })
}

const bindSubscription = (name: string, target: GraphQLField<unknown, Run.Run>, source: SubscriptionField): void => {
  const decode = decoder(source.args)
  target.resolve = (event) => event
  target.subscribe = (_, args, run) => {
    if (run.opening === undefined) throw new Error("A subscription runs without a scope")
    const { scope, wake } = run.opening
    const opened = Effect.map(
      Scope.extend(source.subscribe(decode(args) as never, run.request, wake), scope),
      (feed): Source => ({ feed, [Symbol.asyncIterator]: notIterated })
    )
    return Run.settle(run, name, opened)
  }
}

/** graphql only looks whether it could iterate. */
const notIterated = (): never => {
  throw new Error("A Source is read through its feed")
}

const node = (nodes: NonNullable<Part["nodes"]>): Field =>
  field(Schema.Struct({ id: Schema.String }), ({ id }, request: RequestContext) => {
    const global = Ids.fromGlobal(id)
    const find = global === undefined ? undefined : nodes[global.type]
    if (global === undefined || find === undefined) return Effect.fail(invalid("id", "is not an id of this server"))
    const note = (found: unknown): unknown => {
      if (typeof found === "object" && found !== null) nodeTypes.set(found, global.type)
      return found
    }
    const found = find(global.uuid, request)
    return Effect.isEffect(found) ? Effect.map(found, note) : note(found)
  })

/** A type with a global id shows its UUID as one, unless a part resolves `id` itself. */
const globalId = (type: string) => {
  return (parent: unknown): unknown => {
    const { id } = parent as { readonly id: string }
    return id.includes("-") ? Ids.toGlobal(type as NodeType, id) : id
  }
}

interface Merged {
  readonly fields: Map<string, Field>
  readonly subscriptions: Map<string, SubscriptionField>
  readonly nodes: Map<string, NonNullable<Part["nodes"]>[string]>
  readonly problems: Array<string>
}

const merge = (parts: ReadonlyArray<Part>): Merged => {
  const merged: Merged = { fields: new Map(), subscriptions: new Map(), nodes: new Map(), problems: [] }
  const add = <A>(into: Map<string, A>, name: string, value: A): void => {
    if (into.has(name)) merged.problems.push(`${name} is resolved by two parts`)
    into.set(name, value)
  }
  for (const part of parts) {
    const types = {
      ...part.types,
      ...(part.Query && { Query: part.Query }),
      ...(part.Mutation && { Mutation: part.Mutation })
    }
    for (const [type, fields] of Object.entries(types))
      for (const [name, source] of Object.entries(fields)) add(merged.fields, `${type}.${name}`, source)
    for (const [name, source] of Object.entries(part.Subscription ?? {}))
      add(merged.subscriptions, `Subscription.${name}`, source)
    for (const [type, find] of Object.entries(part.nodes ?? {})) add(merged.nodes, type, find)
  }
  if (merged.nodes.size > 0) merged.fields.set("Query.node", node(Object.fromEntries(merged.nodes)))
  return merged
}

/** The names that a Schema of arguments takes. */
const keysOf = (args: Schema.Schema.AnyNoContext | undefined): ReadonlyArray<string> =>
  args === undefined
    ? []
    : SchemaAST.getPropertySignatures(SchemaAST.encodedAST(args.ast)).map((property) => String(property.name))

/** Whether a Schema lets keys through that it does not name: `__proto__` would be one of them. */
const takesAnyKey = (ast: SchemaAST.AST): boolean => {
  if (SchemaAST.isUnion(ast)) return ast.types.some(takesAnyKey)
  if (SchemaAST.isTupleType(ast)) return [...ast.elements, ...ast.rest].some(({ type }) => takesAnyKey(type))
  if (!SchemaAST.isTypeLiteral(ast)) return false
  return ast.indexSignatures.length > 0 || ast.propertySignatures.some(({ type }) => takesAnyKey(type))
}

const differences = (name: string, target: GraphQLField<unknown, unknown>, source: Field | SubscriptionField) => {
  const taken = new Set(keysOf(source.args))
  const given = new Set(target.args.map((argument) => argument.name))
  return [
    ...(source.args !== undefined && takesAnyKey(SchemaAST.encodedAST(source.args.ast))
      ? [`${name} takes keys that its Schema does not name`]
      : []),
    ...[...given].filter((argument) => !taken.has(argument)).map((argument) => `${name}(${argument}) has no Schema`),
    ...[...taken].filter((argument) => !given.has(argument)).map((argument) => `${name}(${argument}) is not in the SDL`)
  ]
}

/** Gives the schema its behaviour; returns what does not fit. */
const bind = (schema: GraphQLSchema, merged: Merged): ReadonlyArray<string> => {
  const problems: Array<string> = []
  for (const type of Object.values(schema.getTypeMap())) {
    const scalar = isScalarType(type) ? scalars[type.name] : undefined
    if (isScalarType(type) && scalar !== undefined) {
      type.serialize = scalar.serialize
      type.parseValue = scalar.parseValue
      type.parseLiteral = scalar.parseLiteral
    }
    if (isAbstractType(type)) type.resolveType = (value) => typeOf(value, type)
    if (!isObjectType(type)) continue
    const isNode = type.getInterfaces().some((of) => of.name === "Node")
    for (const target of Object.values(type.getFields())) {
      const name = `${type.name}.${target.name}`
      const source = merged.fields.get(name) ?? merged.subscriptions.get(name)
      if (source === undefined) {
        if (isNode && target.name === "id") target.resolve = globalId(type.name)
        continue
      }
      problems.push(...differences(name, target, source))
      if ("resolve" in source) bindField(name, target, source)
      else bindSubscription(name, target, source)
    }
  }
  return problems
}

/** What the parts resolve and the contract does not have. */
const strangers = (by: Resolvable): ReadonlyArray<string> => {
  const { fields, nodes } = contractNames()
  return [
    ...[...by.fields].filter((name) => !fields.has(name)).map((name) => `${name} is not in the SDL`),
    ...[...by.nodes].filter((name) => !nodes.has(name)).map((name) => `${name} is not a Node of the SDL`)
  ]
}

/**
 * The executable schema of these parts. Throws, naming every problem, when a part resolves what the contract does not
 * have, two parts resolve the same field, or a field's arguments and its Schema disagree.
 */
export const assemble = (parts: ReadonlyArray<Part>): GraphQLSchema => {
  const merged = merge(parts)
  const by = resolvable(parts)
  const schema = buildASTSchema(servedSchema(by))
  const problems = [...merged.problems, ...strangers(by), ...bind(schema, merged)]
  if (problems.length > 0) throw new Error(`The parts of the schema do not fit: ${problems.join("; ")}`)
  return schema
}
