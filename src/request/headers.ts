import * as Duration from "effect/Duration"
import type { CachePolicy } from "../graphql/CachePolicy.ts"
import type { Quota, Rule } from "../rate/RateLimiter.ts"
import * as answers from "./answers.ts"
import * as Client from "./Client.ts"
import * as Deadline from "./Deadline.ts"
import type { Answer, Incoming } from "./Incoming.ts"
import type { MediaType } from "./mediaType.ts"

type Headers = Readonly<Record<string, string>>

const vary = "accept, accept-encoding"
const contentTypes: { readonly [M in MediaType]: string } = {
  "application/graphql-response+json": "application/graphql-response+json; charset=utf-8",
  "application/json": "application/json; charset=utf-8"
}

/** Headers that most answers share, made once. */
const common = (mediaType: MediaType, secure: boolean): Headers => ({
  "content-type": contentTypes[mediaType],
  "cache-control": "no-store",
  vary,
  ...answers.securityHeaders,
  ...(secure ? answers.strictTransport : {})
})

const headersOf: { readonly [M in MediaType]: readonly [plain: Headers, secure: Headers] } = {
  "application/graphql-response+json": [
    common("application/graphql-response+json", false),
    common("application/graphql-response+json", true)
  ],
  "application/json": [common("application/json", false), common("application/json", true)]
}

/** What every answer of GraphQL has. */
export const base = (mediaType: MediaType, secure: boolean): Headers => headersOf[mediaType][secure ? 1 : 0]

/**
 * As draft-ietf-httpapi-ratelimit-headers (8 and after) has it: `q` in `w` seconds in the long run. `burst`, our own, is
 * what goes at once, and what the `r` of RateLimit is left of; its `t` is when all of the burst is back.
 */
const policies = new WeakMap<Rule, string>()

const policyOf = ({ rule }: Quota): string => {
  const known = policies.get(rule)
  if (known !== undefined) return known
  const made = `"${rule.name}";q=${rule.limit};w=${Math.ceil(Duration.toSeconds(rule.window))};burst=${rule.burst}`
  policies.set(rule, made)
  return made
}

/** Adds what is left to the client, by the rule that is nearest to its end. */
export const addQuotas = (headers: Record<string, string>, quotas: ReadonlyArray<Quota>): void => {
  let tightest = quotas[0]
  if (tightest === undefined) return
  let policy = policyOf(tightest)
  for (let index = 1; index < quotas.length; index++) {
    const quota = quotas[index]!
    policy += `, ${policyOf(quota)}`
    if (quota.remaining < tightest.remaining) tightest = quota
  }
  headers["ratelimit-policy"] = policy
  headers["ratelimit"] = `"${tightest.rule.name}";r=${tightest.remaining};t=${Math.ceil(tightest.resetMillis / 1_000)}`
}

/**
 * What a GET's answer tells caches: anybody may keep a public one for as long as it lives; a private one is kept by its
 * viewer's own, who asks each time whether it is still good.
 */
export const caching = ({ scope }: CachePolicy, secondsLeft: number, etag: string): Record<string, string> =>
  scope === "PUBLIC"
    ? { "cache-control": `public, max-age=${secondsLeft}`, etag }
    : { "cache-control": "private, no-cache", etag, vary: `${vary}, authorization, cookie` }

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
