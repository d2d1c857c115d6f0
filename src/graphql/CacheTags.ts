import type { GraphQLOutputType } from "graphql"
import { getNamedType, isObjectType } from "graphql"

/** The types whose changes are told, and the tag of one of them: what is made of it is forgotten when it changes. */
const prefixes: Readonly<Record<string, string>> = { User: "user" }

/** `user:<uuid>`. */
export const user = (uuid: string): string => `user:${uuid}`

/** `messages:<uuid>`: the messages of an interaction that has ended; only a moderator still changes them. */
export const messages = (interactionId: string): string => `messages:${interactionId}`

type Note = (value: unknown, tags: Set<string>) => void

const noteRow =
  (prefix: string): Note =>
  (value, tags) => {
    if (Array.isArray(value)) for (const one of value) noteRow(prefix)(one, tags)
    else if (typeof value === "object" && value !== null && "id" in value) tags.add(`${prefix}:${String(value.id)}`)
  }

/** Notes what a resolver of this type returns; undefined where no change is told. */
export const noter = (type: GraphQLOutputType): Note | undefined => {
  const named = getNamedType(type)
  const prefix = prefixes[named.name]
  if (prefix !== undefined) return noteRow(prefix)
  const edge = isObjectType(named) ? named.getFields()["edges"] : undefined
  const edgeType = edge === undefined ? undefined : getNamedType(edge.type)
  const node = isObjectType(edgeType) ? edgeType.getFields()["node"] : undefined
  const inner = node === undefined ? undefined : noter(node.type)
  if (inner === undefined) return undefined
  return (value, tags) => {
    const edges = (value as { readonly edges?: ReadonlyArray<{ readonly node: unknown }> } | null)?.edges
    for (const one of edges ?? []) inner(one.node, tags)
  }
}
