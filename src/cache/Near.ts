import * as Exit from "effect/Exit"
import type * as Option from "effect/Option"

/** One value of the near cache: fresh until `until`, fit to be served when the lookup fails until `staleUntil`. */
export interface NearEntry<A> {
  /** The value as it is answered, made once. */
  readonly exit: Exit.Success<Option.Option<A>, never>
  readonly until: number
  readonly staleUntil: number
  readonly tags: ReadonlyArray<string>
  /** When it is to be looked up ahead of time; Infinity: not, or that has begun. */
  refreshAt: number
  used: boolean
  /** What it counts for against `bytesMax`. */
  readonly bytes: number
}

/** A value past its time that may still be served when the lookup fails. */
export interface Stale<A> {
  readonly value: Option.Option<A>
  readonly staleUntil: number
}

/** Bounds of what is kept in this process: values, and bytes as `set` says them. */
export interface Bounds {
  readonly entriesMax: number
  readonly bytesMax: number
}

/** How long a value may be kept, in milliseconds of the Clock. */
export type Times = Readonly<Pick<NearEntry<never>, "until" | "staleUntil" | "refreshAt">>

const noTags: ReadonlyArray<string> = []

/**
 * Values in this process, within the bounds. A hit only sets a flag; at a bound the oldest entry that was not used since
 * it was last passed over goes (second chance), which keeps what is read often without moving it at every read.
 */
export class Near<A> {
  private readonly entries = new Map<string, NearEntry<A>>()
  /** The keys of a tag that are here. */
  private readonly tagged = new Map<string, Set<string>>()
  private bytes = 0
  private readonly bounds: Bounds
  private readonly onEvict: () => void

  constructor(bounds: Bounds, onEvict: () => void) {
    this.bounds = bounds
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

  /** What may be past its time but not past its grace. */
  stale(key: string, nowMillis: number): Stale<A> | undefined {
    const entry = this.entries.get(key)
    if (entry === undefined || entry.staleUntil <= nowMillis) return undefined
    return { value: entry.exit.value, staleUntil: entry.staleUntil }
  }

  /** One that is larger than all may be together is not kept. */
  set(key: string, value: Option.Option<A>, times: Times, tags = noTags, bytes = 0): void {
    this.delete(key)
    if (bytes > this.bounds.bytesMax) return
    const exit = Exit.succeed(value) as Exit.Success<Option.Option<A>, never>
    this.entries.set(key, { exit, ...times, tags, used: false, bytes })
    this.bytes += bytes
    for (const tag of tags) {
      const keys = this.tagged.get(tag)
      if (keys === undefined) this.tagged.set(tag, new Set([key]))
      else keys.add(key)
    }
    while (this.entries.size > this.bounds.entriesMax || this.bytes > this.bounds.bytesMax) this.evict()
  }

  delete(key: string): void {
    const entry = this.entries.get(key)
    if (entry === undefined) return
    this.entries.delete(key)
    this.bytes -= entry.bytes
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
    this.entries.clear()
    this.tagged.clear()
    this.bytes = 0
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
