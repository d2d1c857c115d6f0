import * as Exit from "effect/Exit"
import { RateLimited } from "../errors.ts"

/** Denied keys of one rule remembered at most; beyond that the oldest are forgotten and asked of the store again. */
export const denialsMax = 10_000

/** Refusals of one rule that are kept to be given again; each different wait needs one. */
export const refusalsMax = 4_096

/**
 * Keys of one rule that the store has denied, each with the time at which it owed all that the rule lets it: a charge fits
 * when as much time as it costs has passed since. What a key owes only grows until then, so any charge that does not fit
 * can be refused without asking; a flood costs a lookup in a Map.
 */
export class Denials {
  private readonly fullMicros = new Map<string, number>()
  private readonly refusals = new Map<number, Exit.Exit<never, RateLimited>>()
  private readonly rule: string

  constructor(rule: string) {
    this.rule = rule
  }

  /** Whole milliseconds, rounded up, for which this charge is known to be refused; 0 when the store must say. */
  wait(key: string, cost: number, nowMillis: number): number {
    const full = this.fullMicros.get(key)
    if (full === undefined) return 0
    const since = nowMillis * 1_000 - full
    if (since >= 0 && since < cost) return Math.ceil((cost - since) / 1_000)
    // Its time is over, or the clock was set back.
    this.fullMicros.delete(key)
    return 0
  }

  note(key: string, fullMicros: number): void {
    this.fullMicros.delete(key)
    this.fullMicros.set(key, fullMicros)
    if (this.fullMicros.size <= denialsMax) return
    for (const oldest of this.fullMicros.keys()) return void this.fullMicros.delete(oldest)
  }

  /** The refusal that says to wait so long: made once, since an error costs a stack trace. */
  refusal(wait: number): Exit.Exit<never, RateLimited> {
    const made = this.refusals.get(wait)
    if (made !== undefined) return made
    const refusal = Exit.fail(new RateLimited({ retryAfterMillis: wait, rule: this.rule }))
    if (this.refusals.size >= refusalsMax) this.refusals.clear()
    this.refusals.set(wait, refusal)
    return refusal
  }
}
