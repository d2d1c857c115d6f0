import { SqlError } from "@effect/sql/SqlError"
import * as Either from "effect/Either"
import type { Outcome } from "../../src/database/Driver.ts"

/** What a library threw, with its own message. */
export const failure = (cause: unknown): SqlError =>
  new SqlError({ cause, message: cause instanceof Error ? cause.message : String(cause) })

/** Reports how a promise ended, once. */
export const settle = <A, B>(
  promise: Promise<A>,
  read: (value: A) => B,
  report: (outcome: Outcome<B>) => void
): void => {
  promise.then(
    (value) => report(Either.right(read(value))),
    (error: unknown) => report(Either.left(failure(error)))
  )
}
