import * as Duration from "effect/Duration"

/**
 * What happens after a failure that the protocol does not name (a defect).
 * `restart` begins again from a fresh state, `resume` keeps the state, `stop` ends it at the first failure,
 * `escalate` ends it and hands the failure to the program.
 */
export type Strategy = "restart" | "resume" | "stop" | "escalate"

/** How much failing is borne: more than `intensity` failures within `window` end it, whatever the strategy. */
export interface Options {
  readonly strategy?: Strategy
  readonly intensity?: number
  readonly window?: Duration.DurationInput
  readonly backoff?: { readonly initial: Duration.DurationInput; readonly max: Duration.DurationInput }
}

export interface Policy {
  readonly strategy: Strategy
  readonly intensity: number
  readonly windowMillis: number
  readonly initialMillis: number
  readonly maxMillis: number
}

export const defaults = {
  strategy: "restart",
  intensity: 5,
  window: "10 seconds",
  backoff: { initial: "50 millis", max: "5 seconds" }
} as const satisfies Options

export const policy = (options: Options = {}): Policy => ({
  strategy: options.strategy ?? defaults.strategy,
  intensity: Math.max(0, options.intensity ?? defaults.intensity),
  windowMillis: Duration.toMillis(options.window ?? defaults.window),
  initialMillis: Duration.toMillis(options.backoff?.initial ?? defaults.backoff.initial),
  maxMillis: Duration.toMillis(options.backoff?.max ?? defaults.backoff.max)
})

export type Verdict =
  | { readonly _tag: "Continue"; readonly delayMillis: number }
  | { readonly _tag: "Stop"; readonly retryAfterMillis: number }

/**
 * Notes a failure and decides. `failures` holds the times in the window, oldest first, never more than
 * `intensity + 1`. The first failure in a window costs no delay, so that one poison message does not hold up the others;
 * from the second on the delay doubles.
 */
export const judge = (policy: Policy, failures: Array<number>, now: number): Verdict => {
  forget(policy, failures, now)
  failures.push(now)
  const ends = policy.strategy === "stop" || policy.strategy === "escalate"
  if (ends || failures.length > policy.intensity) {
    const oldest = failures[Math.max(0, failures.length - policy.intensity - 1)] ?? now
    return { _tag: "Stop", retryAfterMillis: Math.max(1, oldest + policy.windowMillis - now) }
  }
  return { _tag: "Continue", delayMillis: failures.length === 1 ? 0 : delayMillis(policy, failures.length - 1) }
}

/** Drops the failures that have left the window. */
export const forget = (policy: Policy, failures: Array<number>, now: number): void => {
  let gone = 0
  while (gone < failures.length && failures[gone]! + policy.windowMillis <= now) gone++
  if (gone > 0) failures.splice(0, gone)
}

/** The pause before the nth repeated attempt, counted from 1. */
export const delayMillis = (policy: Policy, attempt: number): number =>
  Math.min(policy.maxMillis, policy.initialMillis * 2 ** Math.min(attempt - 1, 30))
