import * as Stored from "../store/Stored.ts"
import type { Envelope } from "./Envelope.ts"

/** Of so many newcomers one gets a place when there is none left: what is read once must not cost every read a place. */
export const admitEvery = 8

interface Entry<A> {
  readonly stored: Stored.Stored
  readonly envelope: Envelope<A>
}

/**
 * What texts of the store were decoded to, by key, for as long as the store gives the very same text: it still says what is
 * there, and what it says is not decoded again. Within `lengthMax` of what is stored; beyond that the oldest go.
 */
export class Decoded<A> {
  private readonly lengthMax: number
  private readonly entries = new Map<string, Entry<A>>()
  private length = 0
  private newcomers = 0

  /** Bytes from Redis, UTF-16 units in memory. */
  constructor(lengthMax: number) {
    this.lengthMax = lengthMax
  }

  get(key: string, stored: Stored.Stored): Envelope<A> | undefined {
    const entry = this.entries.get(key)
    return entry !== undefined && Stored.same(entry.stored, stored) ? entry.envelope : undefined
  }

  /** One that is larger than all may be together is not kept. */
  set(key: string, stored: Stored.Stored, envelope: Envelope<A>): void {
    this.delete(key)
    const full = this.length + stored.length > this.lengthMax
    if (stored.length > this.lengthMax || (full && ++this.newcomers % admitEvery !== 0)) return
    this.entries.set(key, { stored: Stored.kept(stored), envelope })
    this.length += stored.length
    for (const oldest of this.entries.keys()) {
      if (this.length <= this.lengthMax) return
      this.delete(oldest)
    }
  }

  private delete(key: string): void {
    const entry = this.entries.get(key)
    if (entry === undefined) return
    this.entries.delete(key)
    this.length -= entry.stored.length
  }
}
