import type {
  FieldNode,
  FragmentDefinitionNode,
  GraphQLAbstractType,
  GraphQLField,
  GraphQLLeafType,
  GraphQLObjectType,
  GraphQLOutputType,
  GraphQLSchema,
  OperationDefinitionNode,
  SelectionNode,
  SelectionSetNode
} from "graphql"
import {
  getDirectiveValues,
  GraphQLIncludeDirective,
  GraphQLSkipDirective,
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
import type { Container } from "./Places.ts"
import { type Complete, FieldPlan, isPlain, ObjectPlan, plainOf, written } from "./Plan.ts"

type AnyField = GraphQLField<unknown, unknown>

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
    return this.object(this.schema.getRootType(operation)!, [selectionSet], undefined)
  }

  private object(
    type: GraphQLObjectType,
    sets: ReadonlyArray<SelectionSetNode>,
    parent: FieldPlan | undefined
  ): ObjectPlan {
    const byKey = new Map<string, Array<FieldNode>>()
    const spread = new Set<string>()
    for (const set of sets) this.collect(type, set, byKey, spread)
    const fields: Array<FieldPlan> = []
    for (const nodes of byKey.values()) {
      const definition = this.definition(type, nodes[0]!.name.value)
      if (definition !== undefined) fields.push(new FieldPlan(this, type, definition, nodes, parent))
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

  complete(type: GraphQLOutputType, sets: ReadonlyArray<SelectionSetNode>, field: FieldPlan): Complete {
    const isNullable = !isNonNullType(type)
    const present = this.present(isNonNullType(type) ? type.ofType : type, sets, field)
    return (execution, field, value, into, key) => {
      if (value !== null && value !== undefined) present(execution, field, value, into, key)
      else if (isNullable) into[key] = null
      else execution.fail(field.missing(), field, into, key, false)
    }
  }

  /** Of a value that is there. */
  private present(type: GraphQLOutputType, sets: ReadonlyArray<SelectionSetNode>, field: FieldPlan): Complete {
    if (isListType(type)) return this.list(type.ofType as GraphQLOutputType, sets, field)
    if (isObjectType(type)) {
      const plan = this.object(type, sets, field)
      return (execution, _, value, into, key) => plan.complete(execution, value, into, key)
    }
    if (isAbstractType(type)) return this.abstract(type, sets, field)
    return leaf(type as GraphQLLeafType)
  }

  private list(of: GraphQLOutputType, sets: ReadonlyArray<SelectionSetNode>, field: FieldPlan): Complete {
    const item = this.complete(of, sets, field)
    const isItemNullable = !isNonNullType(of)
    return (execution, field, value, into, key) => {
      if (!Array.isArray(value)) throw new Error("A list is not an array")
      const list = listOf(value.length)
      into[key] = list
      execution.places?.add(list, into, key)
      for (let index = 0; index < value.length; index++) {
        try {
          item(execution, field, value[index], list, index)
        } catch (error) {
          execution.fail(error, field, list, index, isItemNullable)
        }
        if (execution.places?.isGone(list) === true) return
      }
    }
  }

  private abstract(type: GraphQLAbstractType, sets: ReadonlyArray<SelectionSetNode>, field: FieldPlan): Complete {
    const plans = new Map<string, ObjectPlan>()
    const planOf = (name: string): ObjectPlan => {
      const known = plans.get(name)
      if (known !== undefined) return known
      const object = this.schema.getType(name)
      if (!isObjectType(object) || !this.schema.isSubType(type, object)) throw new Error(`${name} is no ${type.name}`)
      const plan = this.object(object, sets, field)
      plans.set(name, plan)
      return plan
    }
    return (execution, _, value, into, key) => {
      const name = type.resolveType?.(value, execution.run, undefined as never, type)
      planOf(String(name)).complete(execution, value, into, key)
    }
  }
}

/** An empty list for the answer, as long as it will be. */
const listOf = (length: number): Container => {
  const list: Array<unknown> = []
  list.length = length
  return list as unknown as Container
}

const leaf = (type: GraphQLLeafType): Complete => {
  const plain = plainOf.get(type)
  return (_, __, value, into, key) => {
    into[key] = typeof value === plain && isPlain(value) ? value : written(type, value)
  }
}
