/** No entry, no bucket. */
export const none = -1

/** Columns grow by half: doubling would leave a third of the memory unused on average. */
export const grownSize = (size: number): number => Math.ceil(size * 1.5)

const grown = (array: Int32Array, size: number): Int32Array<ArrayBuffer> => {
  const larger = new Int32Array(size)
  larger.set(array)
  return larger
}

/**
 * Ordered lists by a pair of integers, as columns of integers: 20 bytes an entry and 24 to 40 a list, where objects and
 * arrays took 1 GB for 100,000 tickets of 9 entries. An entry belongs to one slot (a ticket) and one bucket (a list) and
 * is in its list only while linked; a bucket lives as long as an entry names it, so a ticket that is held out of the
 * lists finds its way back.
 */
export class Buckets {
  /** Of an entry: the slot it stands for, its bucket, its neighbours in the list, the next entry of the same slot. */
  slot = new Int32Array(64)
  bucket = new Int32Array(64)
  next = new Int32Array(64)
  sibling = new Int32Array(64)
  /** Of a bucket: its key and its first entry. */
  keyA = new Int32Array(64)
  keyB = new Int32Array(64)
  head = new Int32Array(64)

  private previous = new Int32Array(64)
  private entries = 0
  private freeEntry = none
  private tail = new Int32Array(64)
  private uses = new Int32Array(64)
  private buckets = 0
  private live = 0
  private freeBucket = none
  /** Open addressing, linear probing, at most half full: bucket + 1, or 0. */
  private table = new Int32Array(128)
  private readonly before: (a: number, b: number) => boolean

  /** `before(a, b)`: slot a stands in front of slot b in every list. */
  constructor(before: (a: number, b: number) => boolean) {
    this.before = before
  }

  /** A new entry of the slot in the bucket of that key, not linked. `sibling` is the entry it goes in front of. */
  allocate(slot: number, keyA: number, keyB: number, sibling: number): number {
    let entry = this.freeEntry
    if (entry === none) {
      entry = this.entries++
      if (entry === this.slot.length) this.growEntries()
    } else this.freeEntry = this.next[entry]!
    const bucket = this.obtain(keyA, keyB)
    this.uses[bucket]!++
    this.slot[entry] = slot
    this.bucket[entry] = bucket
    this.sibling[entry] = sibling
    return entry
  }

  /** Frees an entry that is not linked. */
  release(entry: number): void {
    const bucket = this.bucket[entry]!
    if (--this.uses[bucket]! === 0) this.drop(bucket)
    this.next[entry] = this.freeEntry
    this.freeEntry = entry
  }

  /** Puts the entry where its slot belongs. Arrivals belong at the end, so the search for the place starts there. */
  link(entry: number): void {
    const bucket = this.bucket[entry]!
    const slot = this.slot[entry]!
    const head = this.head[bucket]!
    let after = this.tail[bucket]!
    if (head !== none && this.before(slot, this.slot[head]!)) after = none
    while (after !== none && this.before(slot, this.slot[after]!)) after = this.previous[after]!
    const next = after === none ? head : this.next[after]!
    this.previous[entry] = after
    this.next[entry] = next
    if (after === none) this.head[bucket] = entry
    else this.next[after] = entry
    if (next === none) this.tail[bucket] = entry
    else this.previous[next] = entry
  }

  unlink(entry: number): void {
    const bucket = this.bucket[entry]!
    const previous = this.previous[entry]!
    const next = this.next[entry]!
    if (previous === none) this.head[bucket] = next
    else this.next[previous] = next
    if (next === none) this.tail[bucket] = previous
    else this.previous[next] = previous
  }

  /** The bucket of that key; `none` when there is none. */
  find(keyA: number, keyB: number): number {
    const mask = this.table.length - 1
    for (let at = hash(keyA, keyB) & mask; ; at = (at + 1) & mask) {
      const bucket = this.table[at]! - 1
      if (bucket === none || (this.keyA[bucket] === keyA && this.keyB[bucket] === keyB)) return bucket
    }
  }

  private obtain(keyA: number, keyB: number): number {
    const known = this.find(keyA, keyB)
    if (known !== none) return known
    let bucket = this.freeBucket
    if (bucket === none) {
      bucket = this.buckets++
      if (bucket === this.keyA.length) this.growBuckets()
    } else this.freeBucket = this.head[bucket]!
    this.keyA[bucket] = keyA
    this.keyB[bucket] = keyB
    this.head[bucket] = none
    this.tail[bucket] = none
    this.uses[bucket] = 0
    if (++this.live * 2 > this.table.length) this.rehash()
    this.place(bucket)
    return bucket
  }

  private place(bucket: number): void {
    const mask = this.table.length - 1
    let at = hash(this.keyA[bucket]!, this.keyB[bucket]!) & mask
    while (this.table[at] !== 0) at = (at + 1) & mask
    this.table[at] = bucket + 1
  }

  /** Deletes by moving back what follows, so that a search still ends at the first empty place. */
  private drop(bucket: number): void {
    const mask = this.table.length - 1
    let hole = hash(this.keyA[bucket]!, this.keyB[bucket]!) & mask
    while (this.table[hole] !== bucket + 1) hole = (hole + 1) & mask
    for (let at = (hole + 1) & mask; this.table[at] !== 0; at = (at + 1) & mask) {
      const other = this.table[at]! - 1
      const home = hash(this.keyA[other]!, this.keyB[other]!) & mask
      if (((at - home) & mask) < ((at - hole) & mask)) continue
      this.table[hole] = this.table[at]!
      hole = at
    }
    this.table[hole] = 0
    this.head[bucket] = this.freeBucket
    this.freeBucket = bucket
    this.live--
  }

  private rehash(): void {
    const old = this.table
    this.table = new Int32Array(old.length * 2)
    for (const place of old) if (place !== 0) this.place(place - 1)
  }

  private growEntries(): void {
    const size = grownSize(this.slot.length)
    this.slot = grown(this.slot, size)
    this.bucket = grown(this.bucket, size)
    this.next = grown(this.next, size)
    this.previous = grown(this.previous, size)
    this.sibling = grown(this.sibling, size)
  }

  private growBuckets(): void {
    const size = grownSize(this.keyA.length)
    this.keyA = grown(this.keyA, size)
    this.keyB = grown(this.keyB, size)
    this.head = grown(this.head, size)
    this.tail = grown(this.tail, size)
    this.uses = grown(this.uses, size)
  }
}

const hash = (a: number, b: number): number => {
  let h = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca77)
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
  return (h ^ (h >>> 13)) >>> 0
}
