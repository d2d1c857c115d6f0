import type { Charged } from "./Gcra.ts"
import type { Meter } from "./Meter.ts"

interface Taking extends Charged {
  readonly meter: Meter
  readonly key: string
}

type Keys = Map<string, number>

/**
 * GCRA in this process: for each key of a rule the time, in microseconds, at which all that was taken will be paid off. At
 * most `keysMax` keys, in two generations: when half as many have been used since the last time, those that were not are
 * forgotten.
 */
export class Tally {
  private young = new Map<Meter, Keys>()
  private old = new Map<Meter, Keys>()
  private count = 0
  private readonly generationMax: number

  constructor(keysMax: number) {
    this.generationMax = keysMax >> 1
  }

  /** How far ahead of now each key was before its charge, as the script in the store says it. All are taken or none. */
  take(charges: ReadonlyArray<Taking>, nowMicros: number): ReadonlyArray<number> {
    const ahead: Array<number> = []
    let refused = false
    for (let index = 0; index < charges.length; index++) {
      const charge = charges[index]!
      let before = Math.max(nowMicros, this.paidAt(charge, nowMicros))
      // What the same call has already asked of the key.
      for (let earlier = 0; earlier < index; earlier++) {
        const { cost, key, meter } = charges[earlier]!
        if (meter === charge.meter && key === charge.key) before += cost
      }
      ahead.push(before - nowMicros)
      if (before + charge.cost - nowMicros > charge.tolerance) refused = true
    }
    if (refused) return ahead
    for (let index = 0; index < charges.length; index++) {
      const owes = ahead[index]! + charges[index]!.cost
      if (owes > 0) this.keep(charges[index]!, nowMicros + owes)
    }
    return ahead
  }

  private paidAt(charge: Taking, nowMicros: number): number {
    const { key, meter, tolerance } = charge
    const at = this.young.get(meter)?.get(key) ?? this.old.get(meter)?.get(key) ?? 0
    if (at - nowMicros <= tolerance) return at
    // The clock was set back.
    this.keep(charge, nowMicros + tolerance)
    return nowMicros + tolerance
  }

  private keep({ key, meter }: Taking, at: number): void {
    let keys = this.young.get(meter)
    if (keys === undefined) this.young.set(meter, (keys = new Map()))
    const known = keys.size
    keys.set(key, at)
    this.count += keys.size - known
    if (this.count < this.generationMax) return
    this.old = this.young
    this.young = new Map()
    this.count = 0
  }
}
