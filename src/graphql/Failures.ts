import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as ParseResult from "effect/ParseResult"
import { ArrayFormatter } from "effect/ParseResult"
import type { GraphQLFormattedError } from "graphql"
import { GraphQLError } from "graphql"
import * as Uuid from "../domain/Uuid.ts"
import type { ConnectError } from "../errors.ts"
import { codeOf, errors, isConnectError, ValidationFailed } from "../errors.ts"

/** `extensions` of every error that leaves the server. `reference` finds a defect in the log. */
export interface Extensions {
  readonly code: string
  readonly retryable: boolean
  readonly retryAfterMillis?: number
  readonly issues?: ReadonlyArray<{ readonly path: string; readonly message: string }>
  readonly reference?: string
  readonly [extra: string]: unknown
}

/** The code of what nobody foresaw. Its details stay in the log. */
export const internalCode = "INTERNAL"

/** What GraphQL clients see of a failure. */
export const extensionsOf = (error: ConnectError): Extensions => ({
  code: codeOf(error._tag),
  retryable: errors[error._tag].retryable,
  ...("retryAfterMillis" in error ? { retryAfterMillis: Math.ceil(error.retryAfterMillis) } : {}),
  ...("issues" in error ? { issues: error.issues } : {})
})

/** The failure as GraphQL knows errors; located by the executor. */
export const toGraphQLError = (error: ConnectError): GraphQLError =>
  new GraphQLError(error.message, { extensions: extensionsOf(error) })

/** The failure without a place in a document. */
export const format = (error: ConnectError): GraphQLFormattedError => ({
  message: error.message,
  extensions: extensionsOf(error)
})

/** The failure in a cause that its caller can act on, if that is what it failed with. */
export const connectErrorOf = (cause: Cause.Cause<unknown>): ConnectError | undefined =>
  Chunk.toReadonlyArray(Cause.failures(cause)).find(isConnectError)

/** What an Effect of a resolver failed with: a ConnectError, or an Error that carries the cause for the log. */
export const fromCause = (cause: Cause.Cause<unknown>): Error => {
  const failure = connectErrorOf(cause)
  return failure === undefined ? new Error("A resolver failed", { cause }) : toGraphQLError(failure)
}

/** What the alternatives of an optional argument have to say: nothing, when another one says more. */
const isAbsence = (message: string): boolean => /^Expected (null|undefined)\b/.test(message)

/**
 * The issues of arguments that their Schema refuses, with dotted paths. They never repeat the value: it may be long, or
 * a secret.
 */
export const fromIssue = (issue: ParseResult.ParseIssue): ValidationFailed => {
  const all = ArrayFormatter.formatIssueSync(issue).map(({ path, message }) => ({ path: path.join("."), message }))
  const said = all.filter(({ message }) => !isAbsence(message)).map(({ path }) => `${path}.`)
  return new ValidationFailed({
    issues: all
      .filter(({ path, message }) => !isAbsence(message) || !said.some((deeper) => deeper.startsWith(`${path}.`)))
      .map(({ path, message }) => ({ path, message: message.replace(/, actual .*$/s, "") }))
  })
}

/** Logs a defect and returns what may be said of it. */
export const internal = (cause: Cause.Cause<unknown>): Effect.Effect<GraphQLFormattedError> =>
  Effect.flatMap(Uuid.v7, (reference) =>
    Effect.as(Effect.annotateLogs(Effect.logError("A request failed", cause), { reference }), {
      message: `Something went wrong here; reference ${reference}`,
      extensions: { code: internalCode, retryable: false, reference } satisfies Extensions
    })
  )

const causeOf = (error: unknown): Cause.Cause<unknown> =>
  error instanceof Error && Cause.isCause(error.cause) ? error.cause : Cause.die(error)

/** The failure of a whole stream as it leaves. */
export const presentCause = (cause: Cause.Cause<unknown>): Effect.Effect<GraphQLFormattedError> => {
  const error = fromCause(cause)
  return error instanceof GraphQLError ? present(error) : internal(cause)
}

/** What graphql says is wrong with a value, in the forms that do not repeat it. */
const reasons =
  /Field "\w+" (?:is not defined by type "\w+"|of required type "[\w[\]!]+" was not provided)|\w+ cannot represent (?:an? |non-)[\w -]+(?=:| value)|Expected (?:value of )?(?:non-nullable )?type "[\w[\]!]+"(?: to be an object| not to be null)?/g

/**
 * A message of graphql without the value that it complains of, which may be a secret or somebody's words: what leaves
 * also goes into other people's logs.
 */
export const withoutValue = (message: string): string => {
  const variable = /^Variable "\$(\w+)" got invalid value /.exec(message)?.[1]
  if (variable !== undefined) {
    const place = message.match(/ at "[\w.[\]]+"(?=; )/g)?.at(-1) ?? ""
    const reason = message.match(reasons)?.at(-1)
    return `Variable "$${variable}" got an invalid value${place}${reason === undefined ? "" : `: ${reason}`}`
  }
  return message
    .replace(/( cannot represent [\w -]+): .*$/s, "$1")
    .replace(/^Value .* (does not exist in "\w+" enum)/s, "The value $1")
    .replace(/((?:Block)?String) ".*"\.?$/s, "$1")
    .replace(/^(Expected value of type "[^"]+"), found .*$/s, "$1")
}

/**
 * An error of an execution as it leaves: ours keep their code, a variable that does not fit its type is
 * VALIDATION_FAILED, and anything else is a defect: logged, and told without details.
 */
export const present = (error: GraphQLError): Effect.Effect<GraphQLFormattedError> => {
  const { message, locations, path, extensions } = error
  const place = {
    ...(locations === undefined ? {} : { locations }),
    ...(path === undefined ? {} : { path })
  }
  if (typeof extensions?.["code"] === "string") return Effect.succeed({ message, ...place, extensions })
  if (path === undefined) {
    return Effect.succeed({ message: withoutValue(message), ...place, extensions: refusal("ValidationFailed") })
  }
  return Effect.map(internal(causeOf(error.originalError ?? error)), (masked) => ({ ...masked, ...place }))
}

/** The extensions of an error that graphql itself found in a document or its variables. */
export const refusal = (tag: "ValidationFailed" | "BadRequest"): Extensions => ({ code: codeOf(tag), retryable: false })
