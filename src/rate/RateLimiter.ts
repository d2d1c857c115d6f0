import { createHash } from "node:crypto"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Settings } from "../config/Settings.ts"
import { RateLimited } from "../errors.ts"
import { MemoryState } from "../store/MemoryState.ts"
import { Store } from "../store/Store.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Denials } from "./Denials.ts"
import * as Gcra from "./Gcra.ts"

/** At most `burst` at once and `limit` per `window` in the long run (GCRA). */
export interface Rule {
  readonly name: string
  readonly limit: number
  readonly window: Duration.DurationInput
  readonly burst: number
  /** When the store is away: let all through, let none through, or count in this process alone. */
  readonly onStoreLoss: "open" | "closed" | "local"
}

/** One use of a rule by one key: an address, a user id. `cost` is 1 unless given, and never more than the burst. */
export interface Charge {
  readonly rule: Rule
  readonly key: string
  readonly cost?: number
}

/** What is left, for the `RateLimit` headers. */
export interface Quota {
  readonly rule: string
  readonly limit: number
  readonly remaining: number
  readonly resetMillis: number
}

/** Limits before work. All charges are taken, or none and RateLimited with the exact time to wait. */
export class RateLimiter extends Context.Tag("@connect/RateLimiter")<
  RateLimiter,
  {
    readonly consume: (...charges: ReadonlyArray<Charge>) => Effect.Effect<ReadonlyArray<Quota>, RateLimited>
  }
>() {}

/** The rules of the application, by name. Off when `Settings.rateLimit.enabled` is false. */
export const rules = {
  ip: { name: "ip", limit: 600, window: "1 minute", burst: 200, onStoreLoss: "local" },
  user: { name: "user", limit: 1_200, window: "1 minute", burst: 200, onStoreLoss: "local" },
  signUp: { name: "sign_up", limit: 10, window: "1 hour", burst: 10, onStoreLoss: "local" },
  signIn: { name: "sign_in", limit: 10, window: "1 minute", burst: 10, onStoreLoss: "local" },
  sendMessage: { name: "send_message", limit: 120, window: "1 minute", burst: 20, onStoreLoss: "local" },
  joinQueue: { name: "join_queue", limit: 10, window: "1 minute", burst: 10, onStoreLoss: "local" },
  report: { name: "report", limit: 10, window: "1 hour", burst: 5, onStoreLoss: "local" }
} as const satisfies Record<string, Rule>

/** Keys that this process counts by itself while the store is away; beyond that those unused for longest go. */
export const localKeysMax = 20_000
/** What a rule that lets none through while the store is away tells its callers to wait. */
export const closedRetryMillis = 1_000
/** Longer keys are hashed: they come from outside. */
const keyLengthMax = 64

/** One charge, ready for the script. */
interface Prepared {
  readonly rule: Rule
  readonly key: string
  readonly pace: Gcra.Pace
  readonly cost: number
}

const paces = new WeakMap<Rule, Gcra.Pace>()

const paceOf = (rule: Rule): Gcra.Pace => {
  const known = paces.get(rule)
  if (known !== undefined) return known
  const made = Gcra.pace(rule)
  paces.set(rule, made)
  return made
}

const prepare = ({ cost = 1, key, rule }: Charge): Prepared => {
  const short = key.length <= keyLengthMax ? key : createHash("sha256").update(key).digest("base64url")
  const pace = paceOf(rule)
  const micros = Math.ceil(Math.min(Math.max(0, cost), rule.burst) * pace.interval)
  return { rule, key: `rate:${rule.name}:${short}`, pace, cost: micros }
}

const argsOf = (charges: ReadonlyArray<Prepared>): ReadonlyArray<string> => [
  "",
  ...charges.flatMap(({ cost, pace }) => [String(pace.interval), String(pace.tolerance), String(cost)])
]

const count = (charges: ReadonlyArray<Prepared>, outcome: "allowed" | "limited" | "degraded"): void => {
  for (const { rule } of charges) Metrics.series(Metrics.rateLimitChecks, rule.name, outcome).unsafeUpdate(1, [])
}

const quota = (charge: Prepared, verdict: Gcra.Verdict): Quota => ({
  rule: charge.rule.name,
  limit: charge.rule.limit,
  remaining: verdict.remaining,
  resetMillis: verdict.resetMicros / 1_000
})

/** The quotas, or the longest wait of the charges that were not taken. */
const judge = (
  charges: ReadonlyArray<Prepared>,
  verdicts: ReadonlyArray<Gcra.Verdict>,
  denials: Denials,
  now: number
): Effect.Effect<ReadonlyArray<Quota>, RateLimited> => {
  const limited = charges.filter((_, index) => verdicts[index]!.waitMicros > 0)
  if (limited.length === 0) {
    count(charges, "allowed")
    return Effect.succeed(charges.map((charge, index) => quota(charge, verdicts[index]!)))
  }
  count(limited, "limited")
  for (const [index, charge] of charges.entries())
    denials.note(charge.key, charge.cost, now + verdicts[index]!.waitMicros / 1_000)
  return Effect.fail(new RateLimited({ retryAfterMillis: Math.max(...verdicts.map((v) => v.waitMicros)) / 1_000 }))
}

const limiter = (store: typeof Store.Service): typeof RateLimiter.Service => {
  const denials = new Denials()
  const local = new MemoryState({ keysMax: localKeysMax, unitsMax: Infinity }, () => undefined)
  const withoutStore = (charges: ReadonlyArray<Prepared>, now: number) => {
    count(charges, "degraded")
    if (charges.some(({ rule }) => rule.onStoreLoss === "closed"))
      return Effect.fail(new RateLimited({ retryAfterMillis: closedRetryMillis }))
    const counted = charges.filter(({ rule }) => rule.onStoreLoss === "local")
    const keys = counted.map(({ key }) => key)
    local.nowMillis = now
    return judge(counted, Gcra.take.memory(local, keys, argsOf(counted), now), denials, now)
  }
  return {
    consume: (...all) =>
      Effect.clockWith((clock) => {
        if (all.length === 0) return Effect.succeed([])
        const charges = all.map(prepare)
        const now = clock.unsafeCurrentTimeMillis()
        const wait = Math.max(...charges.map(({ cost, key }) => denials.wait(key, cost, now)))
        if (wait > 0) {
          count(charges, "limited")
          return Effect.fail(new RateLimited({ retryAfterMillis: wait }))
        }
        const keys = charges.map(({ key }) => key)
        return Effect.matchEffect(store.run(Gcra.take, keys, argsOf(charges)), {
          onSuccess: (verdicts) => judge(charges, verdicts, denials, now),
          onFailure: () => withoutStore(charges, now)
        })
      })
  }
}

/** Counts in the Store, by the Store's time; lets everything through when `Settings.rateLimit.enabled` is false. */
export const layer: Layer.Layer<RateLimiter, never, Store | Settings> = Layer.effect(
  RateLimiter,
  Effect.gen(function* () {
    const store = yield* Store
    const { rateLimit } = yield* Settings
    return rateLimit.enabled ? limiter(store) : { consume: () => Effect.succeed([]) }
  })
)
