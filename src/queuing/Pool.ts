import { Avoidance } from "./Avoidance.ts"
import { Buckets, grownSize, none } from "./Buckets.ts"
import { Digest } from "./Digest.ts"
import * as Dictionary from "./Dictionary.ts"
import * as Levels from "./Levels.ts"

/** What the index knows of a ticket. Times are milliseconds of the Clock. */
export interface Entrant {
  readonly id: string
  readonly userId: string
  readonly interests: ReadonlyArray<string>
  readonly languages: ReadonlyArray<string>
  readonly region: string | null
  readonly createdAt: number
}

/** The kinds of lists. A ticket stands in its interests' lists at once, in the others when it has widened that far. */
export const interestKind = 0
export const regionKind = 1
export const anyRegionKind = 2
export const languageKind = 3
const kinds = 4

/** The level at which a ticket enters the lists of a kind. */
const entersAt: ReadonlyArray<Levels.Level> = [0, 2, 2, 3]

/** The id of "no region": such a ticket meets those of every region. */
export const noRegion = -1

/** States of a slot. Held: a proposal names it, so no search finds it until the claim has been decided. */
export const free = 0
export const waiting = 1
export const held = 2

const listKey = (language: number, kind: number): number => language * kinds + kind
const levelKey = (level: number): number => -1 - level

/**
 * The tickets of the index in columns, by slot, and the lists that they stand in. Slots are used again. It knows where
 * a ticket stands, not who suits whom.
 */
export class Pool {
  readonly byId = new Map<string, number>()
  readonly byUser = new Map<string, number>()
  readonly ids: Array<string> = []
  readonly users: Array<string> = []
  readonly avoidance = new Avoidance()
  readonly digest = new Digest()
  readonly interests = Dictionary.make()
  readonly languages = Dictionary.make()
  readonly regions = Dictionary.make()
  readonly buckets: Buckets
  createdAt = new Float64Array(64)
  state = new Uint8Array(64)
  level = new Uint8Array(64)
  region = new Int32Array(64)
  /** The first entry of the slot: its first language's interests lead. */
  first = new Int32Array(64)
  /** The slot's entry in the list of its level. */
  private ageing = new Int32Array(64)
  private readonly freeSlots: Array<number> = []
  private slots = 0

  constructor() {
    this.buckets = new Buckets((a, b) => this.before(a, b))
  }

  /** Tickets here, the held ones included. */
  get size(): number {
    return this.byId.size
  }

  /** Every slot is below this. */
  get bound(): number {
    return this.slots
  }

  /** Whether a is older than b; of the same age, the one with the lower id counts as older. */
  before(a: number, b: number): boolean {
    const difference = this.createdAt[a]! - this.createdAt[b]!
    return difference === 0 ? this.ids[a]! < this.ids[b]! : difference < 0
  }

  /** A slot for the entrant, waiting at that level and in the lists that go with it. */
  insert(entrant: Entrant, level: number): number {
    const slot = this.freeSlots.pop() ?? this.slots++
    if (slot === this.state.length) this.grow()
    this.ids[slot] = entrant.id
    this.users[slot] = entrant.userId
    this.createdAt[slot] = entrant.createdAt
    this.level[slot] = level
    this.region[slot] = entrant.region === null ? noRegion : this.regions.take(entrant.region)
    this.byId.set(entrant.id, slot)
    this.byUser.set(entrant.userId, slot)
    this.digest.add(entrant.id, entrant.createdAt)
    this.first[slot] = this.allocate(slot, entrant)
    this.age(slot)
    this.linkAll(slot)
    return slot
  }

  private allocate(slot: number, entrant: Entrant): number {
    const languages = different(entrant.languages, this.languages, Levels.primaryLanguage)
    const interests = different(entrant.interests, this.interests)
    const { buckets } = this
    let entry = none
    for (const language of languages) {
      entry = buckets.allocate(slot, listKey(language, languageKind), 0, entry)
      entry = buckets.allocate(slot, listKey(language, anyRegionKind), 0, entry)
      entry = buckets.allocate(slot, listKey(language, regionKind), this.region[slot]!, entry)
    }
    // Each entry goes in front of the one before, so what shall come first is made last.
    for (let l = languages.length - 1; l >= 0; l--)
      for (let i = interests.length - 1; i >= 0; i--)
        entry = buckets.allocate(slot, listKey(languages[l]!, interestKind), interests[i]!, entry)
    return entry
  }

  /** Takes the slot out of every list, but not out of the pool. */
  hold(slot: number): void {
    this.unlinkAll(slot)
    this.state[slot] = held
  }

  /** Puts a held slot back where its age belongs. */
  giveBack(slot: number): void {
    this.linkAll(slot)
  }

  /** Forgets the slot. */
  delete(slot: number): void {
    if (this.state[slot] === waiting) this.unlinkAll(slot)
    const { buckets } = this
    const firstLanguage = this.firstLanguage(slot)
    for (let entry = this.first[slot]!; entry !== none;) {
      const next = buckets.sibling[entry]!
      const bucket = buckets.bucket[entry]!
      const kind = this.kindOf(bucket)
      if (kind === languageKind) this.languages.release(this.languageOf(bucket))
      if (kind === interestKind && this.languageOf(bucket) === firstLanguage)
        this.interests.release(buckets.keyB[bucket]!)
      buckets.release(entry)
      entry = next
    }
    buckets.unlink(this.ageing[slot]!)
    buckets.release(this.ageing[slot]!)
    if (this.region[slot] !== noRegion) this.regions.release(this.region[slot]!)
    this.avoidance.remove(slot)
    this.digest.remove(this.ids[slot]!, this.createdAt[slot]!)
    this.byId.delete(this.ids[slot]!)
    if (this.byUser.get(this.users[slot]!) === slot) this.byUser.delete(this.users[slot]!)
    this.ids[slot] = ""
    this.users[slot] = ""
    this.state[slot] = free
    this.freeSlots.push(slot)
  }

  /** Raises the slot by one level. */
  widen(slot: number): void {
    this.buckets.unlink(this.ageing[slot]!)
    this.buckets.release(this.ageing[slot]!)
    const level = ++this.level[slot]!
    this.age(slot)
    if (this.state[slot] !== waiting) return
    const { buckets } = this
    for (let entry = this.first[slot]!; entry !== none; entry = buckets.sibling[entry]!)
      if (entersAt[this.kindOf(buckets.bucket[entry]!)] === level) buckets.link(entry)
  }

  /** The oldest slot of that level, held ones included; `none` when there is none. */
  oldest(level: number): number {
    const bucket = this.buckets.find(levelKey(level), 0)
    return bucket === none ? none : this.buckets.slot[this.buckets.head[bucket]!]!
  }

  kindOf(bucket: number): number {
    return this.buckets.keyA[bucket]! & (kinds - 1)
  }

  languageOf(bucket: number): number {
    return this.buckets.keyA[bucket]! >> 2
  }

  /** The list of those of that language who name no region and have widened to language and region. */
  regionless(language: number): number {
    return this.buckets.find(listKey(language, regionKind), noRegion)
  }

  /** Calls `visit` with each interest of the slot, in the ticket's order. */
  eachInterest(slot: number, visit: (interest: number) => void): void {
    const { buckets } = this
    const first = this.first[slot]!
    if (first === none) return
    const key = buckets.keyA[buckets.bucket[first]!]!
    if ((key & (kinds - 1)) !== interestKind) return
    for (let entry = first; entry !== none; entry = buckets.sibling[entry]!) {
      const bucket = buckets.bucket[entry]!
      if (buckets.keyA[bucket] !== key) return
      visit(buckets.keyB[bucket]!)
    }
  }

  /** The slot's languages, by id. */
  languagesOf(slot: number): ReadonlyArray<number> {
    const found: Array<number> = []
    for (let entry = this.first[slot]!; entry !== none; entry = this.buckets.sibling[entry]!) {
      const bucket = this.buckets.bucket[entry]!
      if (this.kindOf(bucket) === languageKind) found.push(this.languageOf(bucket))
    }
    return found
  }

  private firstLanguage(slot: number): number {
    const first = this.first[slot]!
    return first === none ? none : this.languageOf(this.buckets.bucket[first]!)
  }

  private age(slot: number): void {
    this.ageing[slot] = this.buckets.allocate(slot, levelKey(this.level[slot]!), 0, none)
    this.buckets.link(this.ageing[slot]!)
  }

  private linkAll(slot: number): void {
    const { buckets } = this
    const level = this.level[slot]!
    for (let entry = this.first[slot]!; entry !== none; entry = buckets.sibling[entry]!)
      if (entersAt[this.kindOf(buckets.bucket[entry]!)]! <= level) buckets.link(entry)
    this.state[slot] = waiting
  }

  private unlinkAll(slot: number): void {
    const { buckets } = this
    const level = this.level[slot]!
    for (let entry = this.first[slot]!; entry !== none; entry = buckets.sibling[entry]!)
      if (entersAt[this.kindOf(buckets.bucket[entry]!)]! <= level) buckets.unlink(entry)
  }

  private grow(): void {
    const size = grownSize(this.state.length)
    this.createdAt = copied(this.createdAt, new Float64Array(size))
    this.state = copied(this.state, new Uint8Array(size))
    this.level = copied(this.level, new Uint8Array(size))
    this.region = copied(this.region, new Int32Array(size))
    this.first = copied(this.first, new Int32Array(size))
    this.ageing = copied(this.ageing, new Int32Array(size))
  }
}

/** The ids of the names, each once. The lists are short, so looking through them costs less than a Set. */
const different = (
  names: ReadonlyArray<string>,
  dictionary: Dictionary.Dictionary,
  form: (name: string) => string = (name) => name
): ReadonlyArray<number> => {
  const ids: Array<number> = []
  for (const name of names) {
    const id = dictionary.take(form(name))
    if (ids.includes(id)) dictionary.release(id)
    else ids.push(id)
  }
  return ids
}

const copied = <A extends { set: (array: A) => void }>(from: A, to: A): A => {
  to.set(from)
  return to
}
