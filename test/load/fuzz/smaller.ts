import type { ASTNode } from "graphql"
import { Kind, parse, print, visit } from "graphql"
import * as Trial from "./Trial.ts"

const removable: ReadonlySet<string> = new Set([
  Kind.FIELD,
  Kind.ARGUMENT,
  Kind.DIRECTIVE,
  Kind.VARIABLE_DEFINITION,
  Kind.INLINE_FRAGMENT,
  Kind.FRAGMENT_SPREAD,
  Kind.FRAGMENT_DEFINITION,
  Kind.OBJECT_FIELD
])

/** The document without one of its nodes, for each of them. */
function* withoutNode(query: string): Generator<string> {
  let document: ASTNode
  try {
    document = parse(query)
  } catch {
    return yield* withoutPart(query)
  }
  let count = 1
  for (let at = 0; at < count; at++) {
    count = 0
    const rest = visit(document, {
      enter: (node) => (removable.has(node.kind) && count++ === at ? null : undefined)
    }) as ASTNode
    yield print(rest)
  }
}

/** The text without each of its halves, quarters and so on. */
function* withoutPart(text: string): Generator<string> {
  for (let size = Math.ceil(text.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < text.length && text.length / size <= 32; at += size)
      yield text.slice(0, at) + text.slice(at + size)
  }
}

/** Trials that are one step smaller. */
export function* smaller(trial: Trial.Trial): Generator<Trial.Trial> {
  const { asked, headers, text, via } = trial
  for (const name of Object.keys(headers)) {
    const { [name]: _, ...rest } = headers
    yield { ...trial, headers: rest }
  }
  if (asked === undefined) {
    for (const part of withoutPart(text)) yield { ...trial, text: part }
    return
  }
  if (via !== "post") yield Trial.make("post", headers, asked)
  const { query, variables } = asked
  for (const [name, value] of Object.entries(variables)) {
    const { [name]: _, ...rest } = variables
    yield Trial.make(via, headers, { ...asked, variables: rest })
    if (typeof value !== "string" || value.length < 2) continue
    for (const part of withoutPart(value))
      yield Trial.make(via, headers, { ...asked, variables: { ...variables, [name]: part } })
  }
  for (const rest of withoutNode(query)) yield Trial.make(via, headers, { ...asked, query: rest })
}
