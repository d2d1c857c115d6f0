import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"

/** One value of the near cache: fresh until `until`, fit to be served when the lookup fails until `staleUntil`. */
export interface NearEntry<A> {
  readonly value: Option.Option<A>
  /** The value as an Effect made once, so that a hit allocates nothing. */
  readonly effect: Effect.Effect<Option.Option<A>>
  readonly until: number
  readonly staleUntil: number
  used: boolean
}

/**
 * Values in this process, at most `entriesMax`. A hit only sets a flag; at the bound the oldest entry that was not used
 * since it was last passed over goes (second chance), which keeps what is read often without moving it at every read.
 */
export class Near<A> {
  private readonly entries = new Map<string, NearEntry<A>>()
  private readonly entriesMax: number
  private readonly onEvict: () => void

  constructor(entriesMax: number, onEvict: () => void) {
    this.entriesMax = entriesMax
    this.onEvict = onEvict
  }

  get size(): number {
    return this.entries.size
  }

  /** The fresh entry, or undefined. */
  fresh(key: string, nowMillis: number): NearEntry<A> | undefined {
    const entry = this.entries.get(key)
    if (entry === undefined || entry.until <= nowMillis) return undefined
    entry.used = true
    return entry
  }

  /** An entry that may be past its time but not past its grace. */
  stale(key: string, nowMillis: number): NearEntry<A> | undefined {
    const entry = this.entries.get(key)
    return entry !== undefined && entry.staleUntil > nowMillis ? entry : undefined
  }

  set(key: string, value: Option.Option<A>, until: number, staleUntil: number): void {
    this.entries.delete(key)
    this.entries.set(key, { value, effect: Effect.succeed(value), until, staleUntil, used: false })
    if (this.entries.size > this.entriesMax) this.evict()
  }

  delete(key: string): void {
    this.entries.delete(key)
  }

  clear(): void {
    this.entries.clear()
  }

  private evict(): void {
    for (const [key, entry] of this.entries) {
      this.entries.delete(key)
      if (!entry.used) return this.onEvict()
      entry.used = false
      this.entries.set(key, entry)
    }
  }
}
