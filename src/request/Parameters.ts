import * as Effect from "effect/Effect"
import { BadRequest } from "../errors.ts"
import type { Incoming } from "./Incoming.ts"

/** What a GraphQL request asks for. */
export interface Parameters {
  readonly query: string
  readonly operationName: string | null | undefined
  readonly variables: Readonly<Record<string, unknown>>
}

const refuse = (message: string) => Effect.fail(new BadRequest({ message }))

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const nothing = Object.freeze({})

const parameters = (given: Readonly<Record<string, unknown>>): Effect.Effect<Parameters, BadRequest> => {
  const { query, operationName, variables, extensions } = given
  if (typeof query !== "string" || query === "") return refuse("`query` must be the text of a GraphQL document")
  if (operationName !== undefined && operationName !== null && typeof operationName !== "string")
    return refuse("`operationName` must be a string")
  if (variables !== undefined && variables !== null && !isRecord(variables))
    return refuse("`variables` must be an object")
  if (extensions !== undefined && extensions !== null && !isRecord(extensions))
    return refuse("`extensions` must be an object")
  return Effect.succeed({ query, operationName, variables: variables ?? nothing })
}

/** Of a body in JSON. BadRequest says what is wrong with it. */
export const fromJson = (text: string): Effect.Effect<Parameters, BadRequest> => {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return refuse(text === "" ? "The body is empty: send JSON with a `query`" : "The body is not JSON")
  }
  if (Array.isArray(body)) return refuse("Batches are not accepted: send one operation a request")
  return isRecord(body) ? parameters(body) : refuse("The body must be a JSON object with a `query`")
}

/** Of the query string of a GET. */
export const fromSearch = (search: string): Effect.Effect<Parameters, BadRequest> => {
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
  return parameters(decoded)
}

/** Whether the body says that it is JSON in UTF-8. */
export const isJson = (incoming: Incoming): boolean => {
  const type = incoming.header("content-type")
  if (type === "application/json") return true
  if (type === undefined || !/^application\/json *(;|$)/i.test(type)) return false
  const charset = /charset *= *"?([^";\s]+)/i.exec(type)?.[1]
  return charset === undefined || /^utf-?8$/i.test(charset)
}
