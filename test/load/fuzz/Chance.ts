/** Choices that a seed repeats: mulberry32. */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** 0 up to and without 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  /** 0 up to and without `n`. */
  below(n: number): number {
    return Math.floor(this.next() * n)
  }

  /** True in a `share` of cases. */
  in(share: number): boolean {
    return this.next() < share
  }

  of<A>(all: ReadonlyArray<A>): A {
    return all[this.below(all.length)]!
  }
}
