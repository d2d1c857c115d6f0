import * as Duration from "effect/Duration"
import type { RateLimited } from "../errors.ts"
import { pace, type Quota, type Rule, rules } from "../rate/Rule.ts"

/*
 * The headers of draft-ietf-httpapi-ratelimit-headers (8 and after). RateLimit-Policy has each rule: `q` in `w` seconds in
 * the long run, and `burst`, our own, what goes at once. RateLimit has the rule that is nearest to its end: of its burst
 * `r` is left, and `t` is when all of it is back. So on a refusal `t` is later than Retry-After, which is when the next
 * request is let in.
 */

type Headers = Readonly<Record<string, string>>

const named: ReadonlyMap<string, Rule> = new Map(Object.values(rules).map((rule) => [rule.name, rule]))

const policyOf = ({ burst, limit, name, window }: Rule): string =>
  `"${name}";q=${limit};w=${Math.ceil(Duration.toSeconds(window))};burst=${burst}`

const ratelimitOf = ({ remaining, resetMillis, rule }: Quota): string =>
  `"${rule.name}";r=${remaining};t=${Math.ceil(resetMillis / 1_000)}`

/** The rules that a request was charged by. */
export const policy = (quotas: ReadonlyArray<Quota>): Headers =>
  quotas.length === 0 ? {} : { "ratelimit-policy": quotas.map(({ rule }) => policyOf(rule)).join(", ") }

/** What is left to the client, by the rule that is nearest to its end; undefined without rules. */
export const ratelimit = (quotas: ReadonlyArray<Quota>): string | undefined => {
  let tightest = quotas[0]
  if (tightest === undefined) return undefined
  for (const quota of quotas) if (quota.remaining < tightest.remaining) tightest = quota
  return ratelimitOf(tightest)
}

/** The same of a request that was refused. A request costs one, so nothing is left of the rule that it met. */
export const refused = ({ retryAfterMillis, rule: name = "" }: RateLimited): Headers => {
  const rule = named.get(name)
  if (rule === undefined) return {}
  const { interval, tolerance } = pace(rule)
  const resetMillis = retryAfterMillis + (tolerance - interval) / 1_000
  return { ratelimit: ratelimitOf({ rule, remaining: 0, resetMillis }), "ratelimit-policy": policyOf(rule) }
}
