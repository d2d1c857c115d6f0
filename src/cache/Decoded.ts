import type { Envelope } from "./Envelope.ts"

/** Of so many newcomers one gets a place when there is none left: what is read once must not cost every read a place. */
export const admitEvery = 8

interface Entry<A> {
  readonly text: string
  readonly envelope: Envelope<A>
}

/**
 * What texts of the store were decoded to, by key, for as long as the store gives the very same text: it still says what is
 * there, and what it says is not decoded again. Within `unitsMax` UTF-16 units of text; beyond that the oldest go.
 */
export class Decoded<A> {
  private readonly unitsMax: number
  private readonly entries = new Map<string, Entry<A>>()
  private units = 0
  private newcomers = 0

  constructor(unitsMax: number) {
    this.unitsMax = unitsMax
  }

  get(key: string, text: string): Envelope<A> | undefined {
    const entry = this.entries.get(key)
    return entry !== undefined && entry.text === text ? entry.envelope : undefined
  }

  /** One that is larger than all may be together is not kept. */
  set(key: string, text: string, envelope: Envelope<A>): void {
    this.delete(key)
    const full = this.units + text.length > this.unitsMax
    if (text.length > this.unitsMax || (full && ++this.newcomers % admitEvery !== 0)) return
    this.entries.set(key, { text, envelope })
    this.units += text.length
    for (const oldest of this.entries.keys()) {
      if (this.units <= this.unitsMax) return
      this.delete(oldest)
    }
  }

  private delete(key: string): void {
    const entry = this.entries.get(key)
    if (entry === undefined) return
    this.entries.delete(key)
    this.units -= entry.text.length
  }
}
