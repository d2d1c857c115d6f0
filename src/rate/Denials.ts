/** Denials remembered at most; beyond that the oldest are forgotten and asked of the store again. */
export const denialsMax = 10_000

/**
 * Keys that the store has denied, until when. What a key owes only grows until then, so the same or a greater cost can
 * be refused without asking; a flood costs a lookup in a Map.
 */
export class Denials {
  private readonly byKey = new Map<string, { readonly until: number; readonly cost: number }>()

  /** Milliseconds for which this charge is known to be refused; 0 when the store must say. */
  wait(key: string, cost: number, now: number): number {
    const denial = this.byKey.get(key)
    if (denial === undefined) return 0
    if (denial.until > now) return cost >= denial.cost ? denial.until - now : 0
    this.byKey.delete(key)
    return 0
  }

  note(key: string, cost: number, until: number): void {
    if (cost === 0) return
    this.byKey.delete(key)
    this.byKey.set(key, { until, cost })
    if (this.byKey.size > denialsMax) for (const oldest of this.byKey.keys()) return void this.byKey.delete(oldest)
  }
}
