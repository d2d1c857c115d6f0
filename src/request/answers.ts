import type { ConnectError } from "../errors.ts"
import { errors } from "../errors.ts"
import * as Failures from "../graphql/Failures.ts"
import type { Answer } from "./Incoming.ts"
import * as Quotas from "./Quotas.ts"

/** On every answer of the API: it is data for the one who asked, and never a page, a script or a frame. */
export const securityHeaders: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'"
}

/** For those who come by https: they should never come by http again. */
export const strictTransport = { "strict-transport-security": "max-age=31536000; includeSubDomains" } as const

/** JSON that nobody keeps. */
export const json = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  headers: {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "no-store",
    ...securityHeaders,
    ...headers
  },
  body: JSON.stringify(body)
})

/** Whole seconds, as the header wants them: never before the time that the error knows. */
const retryAfter = ({ retryAfterMillis }: { readonly retryAfterMillis: number }) => ({
  "retry-after": String(Math.ceil(retryAfterMillis / 1_000))
})

/** A whole request that failed, as GraphQL tells errors; with when to come back where the error knows, and the limit met. */
export const failure = (
  error: ConnectError,
  options: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {}
): Answer =>
  json(
    options.status ?? errors[error._tag].status,
    { errors: [Failures.format(error)] },
    {
      ...("retryAfterMillis" in error ? retryAfter(error) : {}),
      ...(error._tag === "RateLimited" ? Quotas.refused(error) : {}),
      ...options.headers
    }
  )

/** Nothing at this path. */
export const notFound: Answer = json(404, {
  errors: [{ message: "Nothing is here", extensions: { code: "NOT_FOUND", retryable: false } }]
})

/** The path is right, the method is not. */
export const methodNotAllowed = (allow: string): Answer =>
  json(
    405,
    { errors: [{ message: `Only ${allow} here`, extensions: { code: "BAD_REQUEST", retryable: false } }] },
    { allow }
  )
