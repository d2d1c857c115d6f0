import type { DocumentNode, FragmentDefinitionNode, OperationDefinitionNode, SelectionSetNode } from "graphql"
import { Kind, OperationTypeNode } from "graphql"

/** Bounds of one document. What exceeds one is refused before it is validated. */
export const tokensMax = 2_000
export const depthMax = 10
export const aliasesMax = 15
export const directivesMax = 50

interface Size {
  readonly depth: number
  readonly aliases: number
  readonly directives: number
}

const nothing: Size = { depth: 0, aliases: 0, directives: 0 }

/** Introspection nests its own way; graphql's validation bounds it (MaxIntrospectionDepthRule). */
const isIntrospection = (field: string): boolean => field === "__schema" || field === "__type"

/**
 * Sizes what an operation asks for with its fragments spread out, each measured once, so that fragments cannot
 * multiply the work of measuring. A fragment that spreads itself counts nothing here; validation refuses it.
 */
const sizeOf = (operation: OperationDefinitionNode, fragments: ReadonlyMap<string, FragmentDefinitionNode>): Size => {
  const known = new Map<string, Size>()

  const fragment = (name: string): Size => {
    const measured = known.get(name)
    if (measured !== undefined) return measured
    known.set(name, nothing)
    const definition = fragments.get(name)
    const size = definition === undefined ? nothing : selections(definition.selectionSet)
    known.set(name, size)
    return size
  }

  const selections = (set: SelectionSetNode): Size => {
    let depth = 0
    let aliases = 0
    let directives = 0
    for (const selection of set.selections) {
      const isField = selection.kind === Kind.FIELD
      const inner =
        selection.kind === Kind.FRAGMENT_SPREAD
          ? fragment(selection.name.value)
          : selection.selectionSet === undefined
            ? nothing
            : selections(selection.selectionSet)
      const nested = isField && isIntrospection(selection.name.value) ? 0 : inner.depth
      depth = Math.max(depth, nested + (isField ? 1 : 0))
      aliases += inner.aliases + (isField && selection.alias !== undefined ? 1 : 0)
      directives += inner.directives + (selection.directives?.length ?? 0)
    }
    return { depth, aliases, directives }
  }

  const size = selections(operation.selectionSet)
  return { ...size, directives: size.directives + (operation.directives?.length ?? 0) }
}

/** Whether a subscription's root field depends on @skip or @include: then there may be nothing to subscribe to. */
export const hasConditionalSubscription = (document: DocumentNode): boolean => {
  const seen = new Set<string>()
  const depends = ({ selections }: SelectionSetNode): boolean =>
    selections.some((selection) => {
      if (selection.directives?.some(({ name }) => name.value === "skip" || name.value === "include")) return true
      if (selection.kind === Kind.FIELD) return false
      if (selection.kind === Kind.INLINE_FRAGMENT) return depends(selection.selectionSet)
      const name = selection.name.value
      if (seen.has(name)) return false
      seen.add(name)
      return document.definitions.some(
        (one) => one.kind === Kind.FRAGMENT_DEFINITION && one.name.value === name && depends(one.selectionSet)
      )
    })
  return document.definitions.some(
    (one) =>
      one.kind === Kind.OPERATION_DEFINITION &&
      one.operation === OperationTypeNode.SUBSCRIPTION &&
      depends(one.selectionSet)
  )
}

/** Why the document is too large, or undefined when it is not. Every operation in it counts. */
export const tooLarge = (document: DocumentNode): string | undefined => {
  const fragments = new Map<string, FragmentDefinitionNode>()
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition)
  }
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue
    const size = sizeOf(definition, fragments)
    if (size.depth > depthMax) return `The document is ${size.depth} levels deep, at most ${depthMax} are allowed`
    if (size.aliases > aliasesMax) return `The document has ${size.aliases} aliases, at most ${aliasesMax} are allowed`
    if (size.directives > directivesMax)
      return `The document has ${size.directives} directives, at most ${directivesMax} are allowed`
  }
  return undefined
}
