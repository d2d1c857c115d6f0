import type { Charged } from "./Gcra.ts"
import type { Meter } from "./Meter.ts"

interface Taking extends Charged {
  readonly meter: Meter
  readonly key: string
}

/**
 * GCRA in this process: for each key the time, in microseconds, at which all that was taken will be paid off. At most
 * `keysMax` keys; beyond that those unused for longest are forgotten.
 */
export class Tally {
  private readonly paidAt = new Map<string, number>()
  private readonly keysMax: number

  constructor(keysMax: number) {
    this.keysMax = keysMax
  }

  /** How far ahead of now each key was before its charge, as the script in the store says it. All are taken or none. */
  take(charges: ReadonlyArray<Taking>, nowMicros: number): ReadonlyArray<number> {
    const [only] = charges
    if (only !== undefined && charges.length === 1) return [this.takeOne(only, nowMicros)]
    const together = new Map<string, number>()
    const ahead: Array<number> = []
    let refused = false
    for (const { cost, key, meter, tolerance } of charges) {
      const name = meter.storeKey(key)
      const before = together.get(name) ?? Math.max(nowMicros, this.paidAt.get(name) ?? 0)
      const after = before + cost
      ahead.push(before - nowMicros)
      if (after - nowMicros > tolerance) refused = true
      together.set(name, after)
    }
    if (!refused) for (const [name, at] of together) this.keep(name, at)
    return ahead
  }

  private takeOne({ cost, key, meter, tolerance }: Taking, nowMicros: number): number {
    const name = meter.storeKey(key)
    const before = Math.max(nowMicros, this.paidAt.get(name) ?? 0)
    if (before + cost - nowMicros <= tolerance) this.keep(name, before + cost)
    return before - nowMicros
  }

  private keep(name: string, at: number): void {
    this.paidAt.delete(name)
    this.paidAt.set(name, at)
    if (this.paidAt.size <= this.keysMax) return
    for (const oldest of this.paidAt.keys()) return void this.paidAt.delete(oldest)
  }
}
