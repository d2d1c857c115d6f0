import * as Exit from "effect/Exit"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"

/** One value of the near cache: fresh until `until`, fit to be served when the lookup fails until `staleUntil`. */
export interface NearEntry<A> {
  readonly value: Option.Option<A>
  /** The value as an Effect made once. */
  readonly effect: Effect.Effect<Option.Option<A>>
  /** What a cache makes of its first hit, so that the next ones make nothing: it looks whether the entry still counts. */
  read: Effect.Effect<Option.Option<A>, unknown> | undefined
  /** -Infinity: it was dropped. */
  until: number
  readonly staleUntil: number
  readonly tags: ReadonlyArray<string>
  /** When it is to be looked up ahead of time; Infinity: not, or that has begun. */
  refreshAt: number
  used: boolean
}

/** How long a value may be kept, in milliseconds of the Clock. */
export type Times = Readonly<Pick<NearEntry<never>, "until" | "staleUntil" | "refreshAt">>

const noTags: ReadonlyArray<string> = []

/**
 * Values in this process, at most `entriesMax`. A hit only sets a flag; at the bound the oldest entry that was not used
 * since it was last passed over goes (second chance), which keeps what is read often without moving it at every read.
 */
export class Near<A> {
  private readonly entries = new Map<string, NearEntry<A>>()
  /** The keys of a tag that are here. */
  private readonly tagged = new Map<string, Set<string>>()
  private readonly entriesMax: number
  private readonly onEvict: () => void

  constructor(entriesMax: number, onEvict: () => void) {
    this.entriesMax = entriesMax
    this.onEvict = onEvict
  }

  get size(): number {
    return this.entries.size
  }

  /** The entry, fresh or not. */
  peek(key: string): NearEntry<A> | undefined {
    return this.entries.get(key)
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

  set(key: string, value: Option.Option<A>, times: Times, tags: ReadonlyArray<string> = noTags): void {
    this.delete(key)
    this.entries.set(key, { value, effect: Exit.succeed(value), read: undefined, ...times, tags, used: false })
    for (const tag of tags) {
      const keys = this.tagged.get(tag)
      if (keys === undefined) this.tagged.set(tag, new Set([key]))
      else keys.add(key)
    }
    if (this.entries.size > this.entriesMax) this.evict()
  }

  delete(key: string): void {
    const entry = this.entries.get(key)
    if (entry === undefined) return
    this.entries.delete(key)
    entry.until = -Infinity
    for (const tag of entry.tags) {
      const keys = this.tagged.get(tag)
      keys?.delete(key)
      if (keys?.size === 0) this.tagged.delete(tag)
    }
  }

  deleteTagged(tag: string): void {
    for (const key of this.tagged.get(tag) ?? []) this.delete(key)
  }

  clear(): void {
    for (const entry of this.entries.values()) entry.until = -Infinity
    this.entries.clear()
    this.tagged.clear()
  }

  private evict(): void {
    for (const [key, entry] of this.entries) {
      if (!entry.used) {
        this.delete(key)
        return this.onEvict()
      }
      entry.used = false
      this.entries.delete(key)
      this.entries.set(key, entry)
    }
  }
}
