import * as Exit from "effect/Exit"
import { RateLimited } from "../errors.ts"

/** Denied keys of one rule remembered at most; beyond that the oldest are forgotten and asked of the store again. */
export const denialsMax = 10_000

/** Refusals of one rule that are kept to be given again; each different wait needs one. */
export const refusalsMax = 4_096

/**
 * Keys of one rule that the store has denied, until when. What a key owes only grows until then, so the same or a
 * greater cost can be refused without asking; a flood costs a lookup in a Map.
 */
export class Denials {
  private readonly byKey = new Map<string, { readonly until: number; readonly cost: number }>()
  private readonly refusals = new Map<number, Exit.Exit<never, RateLimited>>()
  private readonly rule: string

  constructor(rule: string) {
    this.rule = rule
  }

  /** Milliseconds for which this charge is known to be refused; 0 when the store must say. */
  wait(key: string, cost: number, now: number): number {
    const denial = this.byKey.get(key)
    if (denial === undefined) return 0
    if (denial.until > now) return cost >= denial.cost ? denial.until - now : 0
    this.byKey.delete(key)
    return 0
  }

  /** In whole milliseconds, rounded up: so exact is the clock that ends it. */
  note(key: string, cost: number, until: number): void {
    if (cost === 0) return
    this.byKey.delete(key)
    this.byKey.set(key, { until: Math.ceil(until), cost })
    if (this.byKey.size > denialsMax) for (const oldest of this.byKey.keys()) return void this.byKey.delete(oldest)
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
