import { BadRequest } from "../errors.ts"
import type { Incoming } from "./Incoming.ts"

/** What a GraphQL request asks for: a document by its text, by its hash, or by both. */
export interface Parameters {
  readonly query: string | undefined
  /** SHA-256 of the document in lower-case hex, from `extensions.persistedQuery`. */
  readonly sha256: string | undefined
  readonly operationName: string | undefined
  readonly variables: Readonly<Record<string, unknown>>
}

const refuse = (message: string) => new BadRequest({ message })

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const nothing = Object.freeze({})

const hashOf = (extensions: unknown): string | undefined | BadRequest => {
  if (extensions === undefined || extensions === null) return undefined
  if (!isRecord(extensions)) return refuse("`extensions` must be an object")
  const { persistedQuery } = extensions
  if (persistedQuery === undefined || persistedQuery === null) return undefined
  const { sha256Hash, version } = isRecord(persistedQuery) ? persistedQuery : (nothing as Record<string, unknown>)
  return version === 1 && typeof sha256Hash === "string" && /^[0-9a-f]{64}$/.test(sha256Hash)
    ? sha256Hash
    : refuse("`extensions.persistedQuery` must have version 1 and sha256Hash, 64 digits of lower-case hex")
}

/** Of decoded JSON. BadRequest says what is wrong with it. */
export const fromRecord = (given: Readonly<Record<string, unknown>>): Parameters | BadRequest => {
  const { query, operationName, variables, extensions } = given
  const sha256 = hashOf(extensions)
  if (sha256 instanceof BadRequest) return sha256
  const isAbsent = query === undefined || query === null || query === ""
  if (!isAbsent && typeof query !== "string") return refuse("`query` must be the text of a GraphQL document")
  if (isAbsent && sha256 === undefined) return refuse("`query` must be the text of a GraphQL document")
  if (operationName !== undefined && operationName !== null && typeof operationName !== "string")
    return refuse("`operationName` must be a string")
  if (variables !== undefined && variables !== null && !isRecord(variables))
    return refuse("`variables` must be an object")
  return {
    query: isAbsent ? undefined : query,
    sha256,
    operationName: operationName ?? undefined,
    variables: variables ?? nothing
  }
}

/** Of a body in JSON. */
export const fromJson = (text: string): Parameters | BadRequest => {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return refuse(text === "" ? "The body is empty: send JSON with a `query`" : "The body is not JSON")
  }
  if (Array.isArray(body)) return refuse("Batches are not accepted: send one operation a request")
  return isRecord(body) ? fromRecord(body) : refuse("The body must be a JSON object with a `query`")
}

/** Of the query string of a GET. */
export const fromSearch = (search: string): Parameters | BadRequest => {
  const given = new URLSearchParams(search)
  const decoded: Record<string, unknown> = {
    query: given.get("query") ?? undefined,
    operationName: given.get("operationName") ?? undefined
  }
  for (const name of ["variables", "extensions"]) {
    const text = given.get(name)
    if (text === null || text === "") continue
    try {
      decoded[name] = JSON.parse(text)
    } catch {
      return refuse(`\`${name}\` is not JSON`)
    }
  }
  return fromRecord(decoded)
}

/** Whether the body says that it is JSON in UTF-8. */
export const isJson = (incoming: Incoming): boolean => {
  const type = incoming.header("content-type")
  if (type === "application/json") return true
  if (type === undefined || !/^application\/json *(;|$)/i.test(type)) return false
  const charset = /charset *= *"?([^";\s]+)/i.exec(type)?.[1]
  return charset === undefined || /^utf-?8$/i.test(charset)
}
