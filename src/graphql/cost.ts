import type {
  ConstValueNode,
  DocumentNode,
  FieldNode,
  FragmentDefinitionNode,
  GraphQLCompositeType,
  GraphQLField,
  GraphQLSchema,
  OperationDefinitionNode,
  SelectionSetNode,
  ValueNode
} from "graphql"
import {
  getNamedType,
  getNullableType,
  isCompositeType,
  isListType,
  isObjectType,
  isInterfaceType,
  Kind
} from "graphql"
import { pageSizeMax } from "../domain/Page.ts"

/** What one field costs, before its depth and the lists that it is in. */
export const scalarCost = 1
export const objectCost = 2
/** Each level costs so many times the one above it: what is deep takes one more round of loads. */
export const depthFactor = 1.2
/** Objects of a list that has no page size, such as an interaction's participants; and a page where the schema gives none. */
export const listItems = 5
export const pageItems = 20

type Variables = Readonly<Record<string, unknown>>

/** One evaluation: fragments are summed once, so that fragments of fragments cannot multiply the work. */
interface At {
  readonly variables: Variables
  readonly fragments: Map<string, number>
}

type Cost = (at: At) => number

const sizeArguments = ["first", "last"]

/** No page is larger; what asks for more is refused by its field. */
const clamped = (size: unknown): number | undefined =>
  typeof size === "number" && Number.isFinite(size) ? Math.min(Math.max(size, 1), pageSizeMax) : undefined

const literal = (node: ValueNode | ConstValueNode | undefined): number | undefined =>
  node?.kind === Kind.INT ? clamped(Number(node.value)) : undefined

const isListOfObjects = (field: GraphQLField<unknown, unknown>): boolean =>
  isListType(getNullableType(field.type)) && isCompositeType(getNamedType(field.type))

/**
 * The cost of an operation by its variables, found without running it: its fields, each as many times as the lists
 * around it may have items. The document has passed validation.
 */
export const of = (
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode
): ((variables: Variables) => number) => {
  const definitions = new Map<string, FragmentDefinitionNode>()
  for (const one of document.definitions)
    if (one.kind === Kind.FRAGMENT_DEFINITION) definitions.set(one.name.value, one)
  const defaults = new Map(
    (operation.variableDefinitions ?? []).map(({ defaultValue, variable }) => [
      variable.name.value,
      literal(defaultValue)
    ])
  )
  const spread = new Map<string, Cost>()
  let variesBySize = false

  const size = (node: FieldNode, field: GraphQLField<unknown, unknown>, name: string): Cost | undefined => {
    const declared = field.args.find((argument) => argument.name === name)
    if (declared === undefined) return undefined
    const fallback = clamped(declared.defaultValue)
    const given = node.arguments?.find((argument) => argument.name.value === name)?.value
    if (given?.kind !== Kind.VARIABLE) return () => literal(given) ?? fallback ?? 0
    variesBySize = true
    const variable = given.name.value
    return ({ variables }) => clamped(variables[variable]) ?? defaults.get(variable) ?? fallback ?? 0
  }

  /** How many times a field's selection is answered. */
  const times = (node: FieldNode, field: GraphQLField<unknown, unknown>, parent: GraphQLCompositeType): Cost => {
    const sizes = sizeArguments.flatMap((name) => size(node, field, name) ?? [])
    if (sizes.length > 0) return (at) => Math.max(...sizes.map((each) => each(at))) || pageItems
    // The items of a connection are counted where its size is asked for.
    const items = isListOfObjects(field) && !parent.name.endsWith("Connection") ? listItems : 1
    return () => items
  }

  const fieldCost = (node: FieldNode, parent: GraphQLCompositeType): Cost => {
    const field = isObjectType(parent) || isInterfaceType(parent) ? parent.getFields()[node.name.value] : undefined
    // Introspection is bounded by graphql's own rule, and reads nothing.
    if (field === undefined || node.selectionSet === undefined) return () => (field === undefined ? 0 : scalarCost)
    const count = times(node, field, parent)
    const inner = setCost(node.selectionSet, getNamedType(field.type) as GraphQLCompositeType)
    return (at) => objectCost + count(at) * depthFactor * inner(at)
  }

  const fragmentCost = (name: string): Cost => {
    const known = spread.get(name)
    if (known !== undefined) return known
    const definition = definitions.get(name)!
    const inner = setCost(
      definition.selectionSet,
      schema.getType(definition.typeCondition.name.value) as GraphQLCompositeType
    )
    const cost: Cost = (at) => {
      const summed = at.fragments.get(name) ?? inner(at)
      at.fragments.set(name, summed)
      return summed
    }
    spread.set(name, cost)
    return cost
  }

  const setCost = (set: SelectionSetNode, parent: GraphQLCompositeType): Cost => {
    const parts = set.selections.map((selection) => {
      if (selection.kind === Kind.FIELD) return fieldCost(selection, parent)
      if (selection.kind === Kind.FRAGMENT_SPREAD) return fragmentCost(selection.name.value)
      const condition = selection.typeCondition
      const type = condition === undefined ? parent : (schema.getType(condition.name.value) as GraphQLCompositeType)
      return setCost(selection.selectionSet, type)
    })
    return (at) => {
      let sum = 0
      for (const part of parts) sum += part(at)
      return sum
    }
  }

  const cost = setCost(operation.selectionSet, schema.getRootType(operation.operation)!)
  const whole = (variables: Variables): number => Math.ceil(cost({ variables, fragments: new Map() }))
  if (variesBySize) return whole
  const fixed = whole({})
  return () => fixed
}
