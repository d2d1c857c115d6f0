import * as Effect from "effect/Effect"
import type { ExecutionResult } from "graphql"
import { GraphQLError } from "graphql"
import type { QueryCount, Repeated } from "../database/QueryCount.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { internalCode } from "./Failures.ts"
import type { Operation } from "./Prepared.ts"

/** SQL statements that an operation may need, whatever it selects. More are a mistake, which tests refuse. */
export const operationQueriesMax = 5

const sentence = ({ field, fingerprint, times }: Repeated): string =>
  `${field} ran one statement ${times} times for one operation: ${fingerprint}`

const complain = (operation: Operation, repeated: Repeated): Effect.Effect<void> =>
  Effect.suspend(() => {
    Metrics.series(Metrics.requestRepeated, repeated.field).unsafeUpdate(1, [])
    return Effect.annotateLogs(Effect.logWarning("A field asks the database row by row"), {
      operation: operation.type,
      name: operation.name ?? "",
      ...repeated
    })
  })

/** Warns of fields that ask the database row by row (N+1), by the name of the resolver. */
export const watch = (operation: Operation, count: QueryCount): Effect.Effect<void> | undefined => {
  const repeated = count.repeated()
  return repeated.length === 0
    ? undefined
    : Effect.forEach(repeated, (one) => complain(operation, one), { discard: true })
}

/** The same where tests run: such an operation, and one with more than `operationQueriesMax` statements, fails. */
export const enforce = (operation: Operation, count: QueryCount, result: ExecutionResult): ExecutionResult => {
  const broken = count.repeated().map(sentence)
  if (count.queries > operationQueriesMax)
    broken.push(
      `${operation.name ?? operation.rootField} ran ${count.queries} statements: ${count.summary().join("; ")}`
    )
  return broken.length === 0
    ? result
    : { errors: broken.map((message) => new GraphQLError(message, { extensions: { code: internalCode } })) }
}
