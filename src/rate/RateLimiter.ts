import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { RateLimited } from "../errors.ts"

/** At most `burst` at once and `limit` per `window` in the long run (GCRA). */
export interface Rule {
  readonly name: string
  readonly limit: number
  readonly window: Duration.DurationInput
  readonly burst: number
  /** When the store is away: let all through, let none through, or count in this process alone. */
  readonly onStoreLoss: "open" | "closed" | "local"
}

/** One use of a rule by one key: an address, a user id. */
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
