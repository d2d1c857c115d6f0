import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"

/** After so many answers at once, of any source, whoever asks next lets the other fibers run first. A power of two. */
export const answersPerTurn = 1_024

/** Where values come from, by key. */
export interface Source<K, A, E> {
  /** What is known at once, without a fiber; undefined when `read` must say. Must not throw. */
  readonly peek: (key: K) => Exit.Exit<A, E> | undefined
  readonly read: (key: K) => Effect.Effect<A, E>
}

let answers = 0

/**
 * A read that is an Effect like any other, run anew each time, but answers `yield*` without a step of the fiber when the
 * value is at hand: the step would cost several times the look.
 */
export class AtHand<K, A, E> extends Effectable.Class<A, E> {
  private readonly source: Source<K, A, E>
  private readonly key: K

  constructor(source: Source<K, A, E>, key: K) {
    super()
    this.source = source
    this.key = key
  }

  override commit(): Effect.Effect<A, E> {
    return this.source.peek(this.key) ?? this.source.read(this.key)
  }

  /** `yield*` asks for the iterator at the moment at which it would run the Effect. */
  override [Symbol.iterator](): Effect.EffectGenerator<Effect.Effect<A, E>> {
    const known = this.source.peek(this.key)
    if (known === undefined) return this.source.read(this.key)[Symbol.iterator]()
    // A generator that only finds what is at hand takes no step, so that nothing else would count its work.
    if ((++answers & (answersPerTurn - 1)) === 0) return Effect.zipRight(Effect.yieldNow(), known)[Symbol.iterator]()
    return Exit.isSuccess(known) ? new Answer(known.value) : known[Symbol.iterator]()
  }
}

/** The end of a generator that never yields. */
class Answer<A> {
  private readonly value: A

  constructor(value: A) {
    this.value = value
  }

  next(): IteratorReturnResult<A> {
    return { done: true, value: this.value }
  }
}
