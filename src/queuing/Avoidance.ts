/**
 * Pairs of tickets in the index that must not meet, until a time. Whoever arrives brings those to avoid of both
 * directions, so only pairs of which both are here need a place, and 100,000 people with 20 blocks each cost nothing.
 */
export class Avoidance {
  private readonly pairs = new Map<number, Map<number, number>>()

  add(a: number, b: number, until: number): void {
    this.half(a, b, until)
    this.half(b, a, until)
  }

  forbids(a: number, b: number, now: number): boolean {
    const until = this.pairs.get(a)?.get(b)
    return until !== undefined && until > now
  }

  /** Lets the two meet again; whether they were kept apart. */
  lift(a: number, b: number): boolean {
    if (this.pairs.get(a)?.has(b) !== true) return false
    this.forget(a, b)
    this.forget(b, a)
    return true
  }

  /** Forgets the slot. */
  remove(slot: number): void {
    const partners = this.pairs.get(slot)
    if (partners === undefined) return
    this.pairs.delete(slot)
    for (const partner of partners.keys()) this.forget(partner, slot)
  }

  /** Forgets the pairs whose time is over and returns the slots that may meet again, each once, in rising order. */
  expire(now: number): ReadonlyArray<number> {
    const slots = new Set<number>()
    for (const [slot, partners] of this.pairs) {
      for (const [partner, until] of partners) {
        if (until > now) continue
        slots.add(slot)
        this.forget(slot, partner)
      }
    }
    return [...slots].sort((a, b) => a - b)
  }

  private half(slot: number, partner: number, until: number): void {
    const partners = this.pairs.get(slot)
    if (partners === undefined) this.pairs.set(slot, new Map([[partner, until]]))
    else partners.set(partner, Math.max(until, partners.get(partner) ?? until))
  }

  private forget(slot: number, partner: number): void {
    const partners = this.pairs.get(slot)
    partners?.delete(partner)
    if (partners?.size === 0) this.pairs.delete(slot)
  }
}
