import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { DatabaseUnavailable } from "../errors.ts"

/** What the drivers' errors have in common, as far as each fills it in. */
interface DriverError {
  /** SQLSTATE with pg and PGlite, an `ERR_POSTGRES_*` word with Bun, an errno word for sockets. */
  readonly code?: unknown
  /** SQLSTATE with Bun. */
  readonly errno?: unknown
  /** The function of the server that raised it. */
  readonly routine?: unknown
  readonly constraint?: unknown
  readonly constraint_name?: unknown
  readonly message?: unknown
}

const sqlStateForm = /^[0-9A-Z]{5}$/

const driverError = (error: SqlError): DriverError =>
  typeof error.cause === "object" && error.cause !== null ? error.cause : {}

/** The five characters of the SQLSTATE, when the server answered with an error at all. */
export const sqlState = (error: SqlError): string | undefined => {
  const { code, errno } = driverError(error)
  if (typeof errno === "string" && sqlStateForm.test(errno)) return errno
  return typeof code === "string" && sqlStateForm.test(code) && !socketCodes.has(code) ? code : undefined
}

/** Errno words that look like a SQLSTATE. */
const socketCodes = new Set(["EPIPE", "EBUSY", "EPERM", "EPROTO"])

/**
 * Connection, shutdown, resources, cancelled or timed out, and the collisions a client is told to retry:
 * 08 connection, 40 rolled back by a collision, 53 resources, 55P03 lock timeout, 57 operator, 58 system.
 */
const unavailableState = /^(08|40|53|55P03|57|58|25P03)/

const unavailableCode = /^(E[A-Z]+|ERR_POSTGRES_(CONNECTION|IDLE|LIFETIME|TLS|UNEXPECTED|QUERY_CANCEL).*|ERR_SOCKET.*)$/

const unavailableMessage =
  /connection (terminated|error|closed|timed? ?out)|timeout exceeded when trying to connect|not queryable|client was closed|PGlite is closed/i

/** Whether a table has changed under the plan that the connection kept; the statement has not begun to run. */
export const isStalePlan = (error: SqlError): boolean =>
  sqlState(error) === "0A000" && driverError(error).routine === "RevalidateCachedQuery"

/** Whether the failure is about the connection or the server's condition, and not about the statement. */
export const isUnavailable = (error: SqlError): boolean => {
  if (isStalePlan(error)) return true
  const state = sqlState(error)
  if (state !== undefined) return unavailableState.test(state)
  const { code, message } = driverError(error)
  if (typeof code === "string" && unavailableCode.test(code)) return true
  return typeof message === "string" && unavailableMessage.test(message)
}

/**
 * Whether the connection is not worth keeping: it broke, the server is ending it (it still looks open then), or it holds
 * plans that the server can no longer use.
 */
export const isSpoiled = (error: SqlError): boolean => {
  const state = sqlState(error)
  return state === undefined || /^(08|57P|0A000|26000)/.test(state)
}

/**
 * At the edge of a service: a SqlError about the connection, a shutdown, too many connections or a timeout becomes
 * DatabaseUnavailable; any other one is a mistake in the program and dies.
 */
export const orUnavailable = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, Exclude<E, SqlError> | DatabaseUnavailable, R> =>
  Effect.catchAll(effect, (error): Effect.Effect<never, Exclude<E, SqlError> | DatabaseUnavailable> => {
    if (!(error instanceof SqlError)) return Effect.fail(error as Exclude<E, SqlError>)
    return isUnavailable(error) ? Effect.fail(new DatabaseUnavailable({ cause: error.cause })) : Effect.die(error)
  })

/** The constraint or unique index that the statement ran into. */
export const constraintOf = (error: SqlError): string | undefined => {
  const { constraint, constraint_name } = driverError(error)
  if (typeof constraint === "string") return constraint
  return typeof constraint_name === "string" ? constraint_name : undefined
}

/** Whether a unique constraint or index (that one, when named) refused the row. */
export const isUniqueViolation = (error: unknown, constraint?: string): error is SqlError =>
  error instanceof SqlError &&
  sqlState(error) === "23505" &&
  (constraint === undefined || constraintOf(error) === constraint)
