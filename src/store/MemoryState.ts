import type { MemoryData } from "./Store.ts"

export type Value =
  | { readonly kind: "string"; readonly text: string }
  | { readonly kind: "hash"; readonly fields: Map<string, string> }
  | { readonly kind: "list"; readonly elements: Array<string> }
  | { readonly kind: "set"; readonly members: Set<string> }
  | { readonly kind: "sorted"; readonly scores: Map<string, number> }

type Of<Kind extends Value["kind"]> = Extract<Value, { readonly kind: Kind }>

interface Entry {
  readonly value: Value
  expiresAt: number
  weight: number
}

/** Bounds of the memory store. Beyond either the keys unused for longest are evicted. */
export interface Bounds {
  readonly keysMax: number
  /** UTF-16 units of all keys, fields and values together. */
  readonly unitsMax: number
}

/** Keys looked at for expiry on each write: every key is visited once in keys / 4 writes. */
const sweepPerWrite = 4

const weigh = (key: string, value: Value): number => {
  let units = key.length
  if (value.kind === "string") return units + value.text.length
  if (value.kind === "hash") for (const [field, text] of value.fields) units += field.length + text.length
  else if (value.kind === "list") for (const element of value.elements) units += element.length
  else for (const member of value.kind === "set" ? value.members : value.scores.keys()) units += member.length
  return units
}

const empty = (value: Value): boolean =>
  (value.kind === "hash" && value.fields.size === 0) ||
  (value.kind === "list" && value.elements.length === 0) ||
  (value.kind === "set" && value.members.size === 0) ||
  (value.kind === "sorted" && value.scores.size === 0)

/**
 * The keys of a memory store. A Map keeps the order of last use: reading puts a key at its end, eviction takes from
 * its start. `nowMillis` is set by whoever calls, before each operation.
 */
export class MemoryState implements MemoryData {
  private readonly bounds: Bounds
  private readonly onEvict: () => void
  private readonly onChange: (key: string) => void
  private readonly entries = new Map<string, Entry>()
  private sweeping: IterableIterator<[string, Entry]> | undefined
  private units = 0
  nowMillis = 0

  constructor(bounds: Bounds, onEvict: () => void, onChange: (key: string) => void = () => undefined) {
    this.bounds = bounds
    this.onEvict = onEvict
    this.onChange = onChange
  }

  get size(): number {
    return this.entries.size
  }

  /** The value of that kind, or undefined; a value of another kind is a mistake of the program and throws. */
  read<Kind extends Value["kind"]>(key: string, kind: Kind): Of<Kind> | undefined {
    const entry = this.live(key)
    if (entry === undefined) return undefined
    if (entry.value.kind !== kind) throw new Error(`WRONGTYPE ${key} is a ${entry.value.kind}, not a ${kind}`)
    this.entries.delete(key)
    this.entries.set(key, entry)
    return entry.value as Of<Kind>
  }

  /** Puts a value; the time to live stays as it was unless one is given (Infinity: none). */
  write(key: string, value: Value, ttlMillis?: number): void {
    const before = this.live(key)
    if (before !== undefined) this.discard(key, before)
    if (empty(value)) return before === undefined ? undefined : this.onChange(key)
    const expiresAt = ttlMillis === undefined ? (before?.expiresAt ?? Infinity) : this.nowMillis + ttlMillis
    const entry: Entry = { value, expiresAt, weight: weigh(key, value) }
    this.entries.set(key, entry)
    this.units += entry.weight
    this.onChange(key)
    this.sweep()
    this.evict(key)
  }

  /** Takes account of a collection changed in place by `units`; an empty one is removed, as in Redis. */
  changed(key: string, units: number): void {
    const entry = this.entries.get(key)
    if (entry === undefined) return
    if (empty(entry.value)) return this.drop(key, entry)
    entry.weight += units
    this.units += units
    this.onChange(key)
    this.evict(key)
  }

  mget(key: string): string | null {
    return this.live(key)?.value.kind === "string" ? this.get(key) : null
  }

  get(key: string): string | null {
    return this.read(key, "string")?.text ?? null
  }

  set(key: string, text: string, ttlMillis?: number): void {
    this.write(key, { kind: "string", text }, ttlMillis ?? Infinity)
  }

  has(key: string): boolean {
    return this.live(key) !== undefined
  }

  del(key: string): boolean {
    const entry = this.live(key)
    if (entry === undefined) return false
    this.drop(key, entry)
    return true
  }

  pexpire(key: string, ttlMillis: number): boolean {
    const entry = this.live(key)
    if (entry === undefined) return false
    entry.expiresAt = this.nowMillis + ttlMillis
    this.onChange(key)
    return true
  }

  pttl(key: string): number {
    const entry = this.live(key)
    if (entry === undefined) return -2
    return entry.expiresAt === Infinity ? -1 : entry.expiresAt - this.nowMillis
  }

  private live(key: string): Entry | undefined {
    const entry = this.entries.get(key)
    if (entry === undefined) return undefined
    if (entry.expiresAt > this.nowMillis) return entry
    this.drop(key, entry)
    return undefined
  }

  private drop(key: string, entry: Entry): void {
    this.discard(key, entry)
    this.onChange(key)
  }

  private discard(key: string, entry: Entry): void {
    this.entries.delete(key)
    this.units -= entry.weight
  }

  private sweep(): void {
    for (let n = 0; n < sweepPerWrite; n++) {
      this.sweeping ??= this.entries.entries()
      const next = this.sweeping.next()
      if (next.done === true) return void (this.sweeping = undefined)
      const [key, entry] = next.value
      if (entry.expiresAt <= this.nowMillis) this.drop(key, entry)
    }
  }

  private evict(keep: string): void {
    while (this.entries.size > this.bounds.keysMax || this.units > this.bounds.unitsMax) {
      const [oldest] = this.entries
      if (oldest === undefined || oldest[0] === keep) return
      this.drop(oldest[0], oldest[1])
      this.onEvict()
    }
  }
}
