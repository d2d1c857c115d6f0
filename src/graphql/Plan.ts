import type {
  FieldNode,
  FragmentDefinitionNode,
  GraphQLAbstractType,
  GraphQLField,
  GraphQLLeafType,
  GraphQLObjectType,
  GraphQLOutputType,
  GraphQLResolveInfo,
  GraphQLSchema,
  OperationDefinitionNode,
  SelectionNode,
  SelectionSetNode
} from "graphql"
import {
  getDirectiveValues,
  GraphQLBoolean,
  GraphQLID,
  GraphQLIncludeDirective,
  GraphQLInt,
  GraphQLSkipDirective,
  GraphQLString,
  isAbstractType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  SchemaMetaFieldDef,
  typeFromAST,
  TypeMetaFieldDef,
  TypeNameMetaFieldDef
} from "graphql"
import type { Container, Execution, Place } from "./Execution.ts"
import type { Field } from "./Part.ts"
import { reader } from "./variables.ts"

/** How a part resolves a field of the schema. */
export interface Bound {
  /** `Type.field`: under this name its SQL statements are counted. */
  readonly name: string
  /** Arguments as the part's Schema decodes them; throws ValidationFailed as graphql's error. */
  readonly decode: (args: unknown) => unknown
  readonly resolve: Field["resolve"]
  /** Notes in the tags of an answer what the value shows. */
  readonly note: ((value: unknown, tags: Set<string>) => void) | undefined
}

/** By the field of the schema that they belong to. */
export const bounds = new WeakMap<object, Bound>()

type AnyField = GraphQLField<unknown, unknown>

/** Puts a value where it belongs. `owner` is the place of the container. */
type Complete = (
  execution: Execution,
  field: FieldPlan,
  value: unknown,
  into: Container,
  key: string | number,
  owner: Place
) => void

/** One field of an object: all that the selections under its key say together. */
export class FieldPlan {
  readonly key: string
  readonly nodes: ReadonlyArray<FieldNode>
  readonly isNullable: boolean
  readonly bound: Bound | undefined
  private readonly definition: AnyField
  private readonly info: GraphQLResolveInfo
  private readonly complete: Complete
  private readonly read: ReturnType<typeof reader>
  private readonly usesVariables: boolean
  /** The property that this is, and what `typeof` says of values that are shown as they are. */
  readonly property: string
  readonly shown: string | undefined
  private constant: { readonly args: unknown } | undefined

  constructor(planner: Planner, parentType: GraphQLObjectType, definition: AnyField, nodes: ReadonlyArray<FieldNode>) {
    const [node] = nodes
    this.key = node!.alias?.value ?? definition.name
    this.nodes = nodes
    this.definition = definition
    this.bound = bounds.get(definition)
    this.isNullable = !isNonNullType(definition.type)
    this.property = definition.name
    this.shown = definition.resolve === undefined && this.bound === undefined ? shownOf(definition.type) : undefined
    // All that graphql's own resolvers, those of introspection, read of it.
    this.info = { schema: planner.schema, parentType } as GraphQLResolveInfo
    this.complete = planner.complete(
      definition.type,
      nodes.flatMap(({ selectionSet }) => selectionSet ?? [])
    )
    this.read = reader(definition, node!)
    this.usesVariables = node!.arguments?.some(({ value }) => planner.hasVariable(value)) ?? false
  }

  /** Resolves the field of `parent`; its value is put into `into` now, or when it is there. */
  run(execution: Execution, parent: unknown, into: Container, owner: Place): void {
    const { bound, definition } = this
    try {
      if (bound !== undefined) {
        const args = this.argsOf(execution)
        return execution.settle(this, bound.resolve(parent as never, args as never, execution.run.request), into, owner)
      }
      const value =
        definition.resolve === undefined
          ? (parent as Container | null | undefined)?.[definition.name]
          : definition.resolve(parent, this.argsOf(execution) as never, execution.run, this.info)
      this.complete(execution, this, value, into, this.key, owner)
    } catch (error) {
      execution.fail(error, this, into, this.key, owner, this.isNullable)
    }
  }

  /** The value of a resolver that had to be waited for. */
  deliver(execution: Execution, value: unknown, into: Container, owner: Place): void {
    try {
      const { tags } = execution.run.request
      if (tags !== undefined) this.bound?.note?.(value, tags)
      this.complete(execution, this, value, into, this.key, owner)
    } catch (error) {
      execution.fail(error, this, into, this.key, owner, this.isNullable)
    }
  }

  /** What graphql says where there is no value and has to be one. */
  missing(): Error {
    return new Error(`Cannot return null for non-nullable field ${this.info.parentType.name}.${this.property}.`)
  }

  /** Decoded once an operation, and once for all where no variable is in them. */
  private argsOf(execution: Execution): unknown {
    if (this.constant !== undefined) return this.constant.args
    const known = execution.args?.get(this)
    if (known !== undefined) return known
    const given = this.read(execution.variables)
    const args = this.bound === undefined ? given : this.bound.decode(given)
    if (!this.usesVariables) this.constant = { args }
    else (execution.args ??= new Map()).set(this, args)
    return args
  }
}

/** The fields of one type of object that are asked for. */
export class ObjectPlan {
  readonly fields: ReadonlyArray<FieldPlan>
  /** An alias may be called __proto__. */
  private readonly isPlain: boolean
  constructor(fields: ReadonlyArray<FieldPlan>) {
    this.fields = fields
    this.isPlain = fields.every(({ key }) => key !== "__proto__")
  }

  /** An empty object for the answer. JSON.stringify is twice as fast where there is a prototype. */
  object(): Container {
    return this.isPlain ? {} : (Object.create(null) as Container)
  }

  run(execution: Execution, parent: unknown, object: Container, place: Place): void {
    for (const field of this.fields) {
      // Most fields are such properties.
      if (field.shown !== undefined) {
        const value = (parent as Container | null | undefined)?.[field.property]
        if (typeof value === field.shown && isShown(value)) {
          object[field.key] = value
          continue
        }
      }
      field.run(execution, parent, object, place)
      if (place.isGone) return
    }
  }
}

/** What `typeof` says of a value that a built-in scalar shows as it is; everything else goes through `serialize`. */
const scalarsShown: ReadonlyMap<GraphQLOutputType, string> = new Map<GraphQLOutputType, string>([
  [GraphQLString, "string"],
  [GraphQLID, "string"],
  [GraphQLBoolean, "boolean"],
  [GraphQLInt, "number"]
])

const shownOf = (type: GraphQLOutputType): string | undefined =>
  scalarsShown.get(isNonNullType(type) ? type.ofType : type)

/** Of the numbers only integers of 32 bits. */
const isShown = (value: unknown): boolean => typeof value !== "number" || (value | 0) === value

const leaf = (type: GraphQLLeafType): Complete => {
  const shown = shownOf(type)
  return (_, __, value, into, key) => {
    into[key] = typeof value === shown && isShown(value) ? value : serialized(type, value)
  }
}

const serialized = (type: GraphQLLeafType, value: unknown): unknown => {
  const made = type.serialize(value)
  if (made === null || made === undefined) throw new Error(`${type.name} cannot represent what it was given`)
  return made
}

/** Plans an operation for one choice of its @skip and @include, which `conditions` has the variables of. */
export class Planner {
  readonly schema: GraphQLSchema
  private readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>
  private readonly conditions: Record<string, unknown>

  constructor(
    schema: GraphQLSchema,
    fragments: ReadonlyMap<string, FragmentDefinitionNode>,
    conditions: Record<string, unknown>
  ) {
    this.schema = schema
    this.fragments = fragments
    this.conditions = conditions
  }

  operation({ operation, selectionSet }: OperationDefinitionNode): ObjectPlan {
    return this.object(this.schema.getRootType(operation)!, [selectionSet])
  }

  private object(type: GraphQLObjectType, sets: ReadonlyArray<SelectionSetNode>): ObjectPlan {
    const byKey = new Map<string, Array<FieldNode>>()
    const spread = new Set<string>()
    for (const set of sets) this.collect(type, set, byKey, spread)
    const fields: Array<FieldPlan> = []
    for (const nodes of byKey.values()) {
      const definition = this.definition(type, nodes[0]!.name.value)
      if (definition !== undefined) fields.push(new FieldPlan(this, type, definition, nodes))
    }
    return new ObjectPlan(fields)
  }

  private definition(type: GraphQLObjectType, name: string): AnyField | undefined {
    if (name === TypeNameMetaFieldDef.name) return TypeNameMetaFieldDef
    if (type === this.schema.getQueryType()) {
      if (name === SchemaMetaFieldDef.name) return SchemaMetaFieldDef
      if (name === TypeMetaFieldDef.name) return TypeMetaFieldDef
    }
    return type.getFields()[name]
  }

  private collect(
    type: GraphQLObjectType,
    { selections }: SelectionSetNode,
    byKey: Map<string, Array<FieldNode>>,
    spread: Set<string>
  ): void {
    for (const selection of selections) {
      if (!this.isIncluded(selection)) continue
      if (selection.kind === Kind.FIELD) {
        const key = selection.alias?.value ?? selection.name.value
        const nodes = byKey.get(key)
        if (nodes === undefined) byKey.set(key, [selection])
        else nodes.push(selection)
        continue
      }
      let of: { readonly typeCondition?: FragmentDefinitionNode["typeCondition"]; selectionSet: SelectionSetNode }
      if (selection.kind === Kind.INLINE_FRAGMENT) of = selection as typeof of
      else {
        const name = selection.name.value
        const fragment = this.fragments.get(name)
        if (fragment === undefined || spread.has(name)) continue
        spread.add(name)
        of = fragment
      }
      if (this.applies(type, of.typeCondition)) this.collect(type, of.selectionSet, byKey, spread)
    }
  }

  private isIncluded(node: SelectionNode): boolean {
    if (node.directives === undefined || node.directives.length === 0) return true
    if (getDirectiveValues(GraphQLSkipDirective, node, this.conditions)?.["if"] === true) return false
    return getDirectiveValues(GraphQLIncludeDirective, node, this.conditions)?.["if"] !== false
  }

  private applies(type: GraphQLObjectType, condition: FragmentDefinitionNode["typeCondition"] | undefined): boolean {
    if (condition === undefined) return true
    const on = typeFromAST(this.schema, condition)
    return on === type || (isAbstractType(on) && this.schema.isSubType(on, type))
  }

  /** Whether a literal has a variable in it. */
  hasVariable(value: { readonly kind: string; readonly values?: unknown; readonly fields?: unknown }): boolean {
    if (value.kind === Kind.VARIABLE) return true
    if (Array.isArray(value.values)) return value.values.some((one) => this.hasVariable(one as typeof value))
    return Array.isArray(value.fields)
      ? value.fields.some((one: { readonly value: typeof value }) => this.hasVariable(one.value))
      : false
  }

  complete(type: GraphQLOutputType, sets: ReadonlyArray<SelectionSetNode>): Complete {
    if (isNonNullType(type)) {
      const inner = this.present(type.ofType, sets, false)
      return (execution, field, value, into, key, owner) => {
        if (value !== null && value !== undefined) return inner(execution, field, value, into, key, owner)
        execution.fail(field.missing(), field, into, key, owner, false)
      }
    }
    const inner = this.present(type, sets, true)
    return (execution, field, value, into, key, owner) => {
      if (value === null || value === undefined) into[key] = null
      else inner(execution, field, value, into, key, owner)
    }
  }

  /** Of a value that is there. */
  private present(type: GraphQLOutputType, sets: ReadonlyArray<SelectionSetNode>, isNullable: boolean): Complete {
    if (isListType(type)) return this.list(type.ofType as GraphQLOutputType, sets, isNullable)
    if (isObjectType(type)) {
      const plan = this.object(type, sets)
      return (execution, _, value, into, key, owner) => execution.object(plan, value, into, key, owner, isNullable)
    }
    if (isAbstractType(type)) return this.abstract(type, sets, isNullable)
    return leaf(type as GraphQLLeafType)
  }

  private list(of: GraphQLOutputType, sets: ReadonlyArray<SelectionSetNode>, isNullable: boolean): Complete {
    const item = this.complete(of, sets)
    const isItemNullable = !isNonNullType(of)
    return (execution, field, value, into, key, owner) => {
      if (!Array.isArray(value)) throw new Error("A list is not an array")
      const { list, place } = execution.list(into, key, owner, isNullable)
      for (let index = 0; index < value.length; index++) {
        try {
          item(execution, field, value[index], list, index, place)
        } catch (error) {
          execution.fail(error, field, list, index, place, isItemNullable)
        }
        if (place.isGone) return
      }
    }
  }

  private abstract(type: GraphQLAbstractType, sets: ReadonlyArray<SelectionSetNode>, isNullable: boolean): Complete {
    const plans = new Map<string, ObjectPlan>()
    const planOf = (name: string): ObjectPlan => {
      const known = plans.get(name)
      if (known !== undefined) return known
      const object = this.schema.getType(name)
      if (!isObjectType(object) || !this.schema.isSubType(type, object)) throw new Error(`${name} is no ${type.name}`)
      const plan = this.object(object, sets)
      plans.set(name, plan)
      return plan
    }
    return (execution, field, value, into, key, owner) => {
      const name = type.resolveType?.(value, execution.run, undefined as never, type)
      execution.object(planOf(String(name)), value, into, key, owner, isNullable)
    }
  }
}
