import * as Duration from "effect/Duration"

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

/** What is left of a rule for a key, for the `RateLimit` headers. */
export interface Quota {
  readonly rule: Rule
  readonly remaining: number
  /** Until the whole burst is back. */
  readonly resetMillis: number
}

/** The rules of the application, by name. Off when `Settings.rateLimit.enabled` is false. */
export const rules = {
  ip: { name: "ip", limit: 600, window: "1 minute", burst: 200, onStoreLoss: "local" },
  user: { name: "user", limit: 1_200, window: "1 minute", burst: 200, onStoreLoss: "local" },
  signUp: { name: "sign_up", limit: 10, window: "1 hour", burst: 10, onStoreLoss: "local" },
  signIn: { name: "sign_in", limit: 10, window: "1 minute", burst: 10, onStoreLoss: "local" },
  signInAccount: { name: "sign_in_account", limit: 60, window: "1 hour", burst: 20, onStoreLoss: "local" },
  sendMessage: { name: "send_message", limit: 120, window: "1 minute", burst: 20, onStoreLoss: "local" },
  joinQueue: { name: "join_queue", limit: 10, window: "1 minute", burst: 10, onStoreLoss: "local" },
  report: { name: "report", limit: 10, window: "1 hour", burst: 5, onStoreLoss: "local" }
} as const satisfies Record<string, Rule>

/** A rule in whole microseconds: `interval` for one unit, `tolerance` how far ahead of now a key may be. */
export interface Pace {
  readonly interval: number
  readonly tolerance: number
}

/** Rounded up, so that rounding never lets more through than the rule says. */
export const pace = (rule: Pick<Rule, "limit" | "window" | "burst">): Pace => {
  const interval = Math.ceil((Duration.toMillis(rule.window) * 1_000) / rule.limit)
  return { interval, tolerance: interval * rule.burst }
}
