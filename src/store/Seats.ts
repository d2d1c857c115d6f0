import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

/** Free seats that are kept for whoever comes next; beyond that they are left to the garbage. */
export const freeMax = 1_024

/**
 * Where one caller waits for one answer. Its Effect is made once and used by one caller after the other, since making it
 * costs about a third of the wait. There is no way to give up, which would cost more than the rest: whoever is interrupted is
 * told in vain.
 */
export class Seat<A, E> {
  private readonly free: Array<Seat<A, E>>
  private resume: ((answer: Exit.Exit<A, E>) => void) | undefined
  private answered: Exit.Exit<A, E> | undefined
  /** To be run once. */
  readonly wait: Effect.Effect<A, E>

  constructor(free: Array<Seat<A, E>>) {
    this.free = free
    this.wait = Effect.async<A, E>((resume) => {
      this.resume = resume
      if (this.answered !== undefined) this.answer(this.answered)
    })
  }

  /** Once, before or after the caller has begun to wait. */
  answer(answer: Exit.Exit<A, E>): void {
    const { resume } = this
    if (resume === undefined) return void (this.answered = answer)
    this.resume = undefined
    this.answered = undefined
    if (this.free.length < freeMax) this.free.push(this)
    resume(answer)
  }
}

/** The seats of one kind of answer. */
export class Seats<A, E> {
  private readonly free: Array<Seat<A, E>> = []

  take(): Seat<A, E> {
    return this.free.pop() ?? new Seat(this.free)
  }
}
