import type { CachePolicy } from "../graphql/CachePolicy.ts"
import type { Quota } from "../rate/RateLimiter.ts"
import * as answers from "./answers.ts"
import * as Client from "./Client.ts"
import * as Deadline from "./Deadline.ts"
import type { Encoding } from "./encoding.ts"
import type { Answer, Incoming } from "./Incoming.ts"
import type { MediaType } from "./mediaType.ts"
import * as Quotas from "./Quotas.ts"

type Headers = Readonly<Record<string, string>>

const vary = "accept, accept-encoding"
const contentTypes: { readonly [M in MediaType]: string } = {
  "application/graphql-response+json": "application/graphql-response+json; charset=utf-8",
  "application/json": "application/json; charset=utf-8"
}

/** Kinds of answers whose headers are kept; there are a dozen. */
const kindsMax = 64

/** The headers that all answers of a kind have. */
interface Kind {
  readonly mediaType: MediaType
  readonly secure: boolean
  readonly encoding: Encoding | undefined
  readonly quotas: ReadonlyArray<Quota>
  readonly headers: Headers
}

const kinds: Array<Kind> = []

const isSameRules = (some: ReadonlyArray<Quota>, others: ReadonlyArray<Quota>): boolean => {
  if (some.length !== others.length) return false
  for (let index = 0; index < some.length; index++) if (some[index]!.rule !== others[index]!.rule) return false
  return true
}

/**
 * What every answer of GraphQL has, but for what is left of the quotas: one object for all answers of the same media
 * type and encoding, over https or not, under the same rules.
 */
export const base = (
  mediaType: MediaType,
  secure: boolean,
  encoding: Encoding | undefined,
  quotas: ReadonlyArray<Quota>
): Headers => {
  for (const kind of kinds) {
    const isLike = kind.mediaType === mediaType && kind.encoding === encoding && kind.secure === secure
    if (isLike && isSameRules(kind.quotas, quotas)) return kind.headers
  }
  const headers: Headers = {
    "content-type": contentTypes[mediaType],
    "cache-control": "no-store",
    vary,
    ...answers.securityHeaders,
    ...(secure ? answers.strictTransport : {}),
    ...(encoding === undefined ? {} : { "content-encoding": encoding }),
    ...Quotas.policy(quotas)
  }
  if (kinds.length >= kindsMax) kinds.length = 0
  kinds.push({ mediaType, secure, encoding, quotas, headers })
  return headers
}

/**
 * What a GET's answer tells caches: anybody may keep a public one for as long as it lives; a private one is kept by its
 * viewer's own, who asks each time whether it is still good.
 */
export const caching = (
  { scope }: CachePolicy,
  secondsLeft: number,
  etag: string,
  { allowedOrigins }: Client.Trust
): Headers => ({
  "cache-control": scope === "PUBLIC" ? `public, max-age=${secondsLeft}` : "private, no-cache",
  etag,
  vary: `${vary}${scope === "PUBLIC" ? "" : ", authorization, cookie"}${allowedOrigins.length > 0 ? ", origin" : ""}`
})

export const cors = (incoming: Incoming, trust: Client.Trust): Record<string, string> => {
  const origin = Client.allowedOrigin(incoming, trust)
  return origin === undefined
    ? {}
    : {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "etag, ratelimit, ratelimit-policy, retry-after",
        vary: `${vary}, origin`
      }
}

export const allow = "GET, POST, OPTIONS"

/** What a browser asks before a request from an allowed origin. Others are told nothing, and so do not ask further. */
export const preflight = (incoming: Incoming, trust: Client.Trust): Answer => ({
  status: 204,
  headers: {
    ...answers.securityHeaders,
    allow,
    ...cors(incoming, trust),
    ...(Client.allowedOrigin(incoming, trust) === undefined
      ? {}
      : {
          "access-control-allow-methods": "GET, POST",
          "access-control-allow-headers": `authorization, content-type, ${Deadline.header}`,
          "access-control-max-age": "600"
        })
  },
  body: null
})
