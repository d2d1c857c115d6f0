import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"

/** Something that falls due. Its links belong to the alarm that holds it. */
export interface Due {
  dueMillis: number
  earlier: Due | undefined
  later: Due | undefined
  /** Whether an alarm holds it. */
  listed: boolean
}

/** Due things handled, and time they may take, before the event loop gets its turn. */
export const sliceMax = 256
export const sliceMillisMax = 1

/**
 * Calls `expire` for each thing that was added `delayMillis` ago and not removed since. All wait for the same time, so
 * the first one added is the first one due and a linked list serves as the timing wheel: adding and removing take
 * constant time and no memory. A fiber exists only while something is listed.
 */
export class Alarm<A extends Due> {
  readonly delayMillis: number
  private readonly now: () => number
  private readonly fork: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<unknown, unknown>
  private readonly expire: (due: A) => void
  private head: A | undefined = undefined
  private tail: A | undefined = undefined
  private watching = false
  private fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined

  constructor(
    delayMillis: number,
    now: () => number,
    fork: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<unknown, unknown>,
    expire: (due: A) => void
  ) {
    this.delayMillis = delayMillis
    this.now = now
    this.fork = fork
    this.expire = expire
  }

  /** Lists it as the last one due. A delay of Infinity lists nothing. */
  add(due: A, now: number): void {
    if (this.delayMillis === Number.POSITIVE_INFINITY) return
    due.dueMillis = now + this.delayMillis
    due.earlier = this.tail
    due.later = undefined
    due.listed = true
    if (this.tail === undefined) this.head = due
    else this.tail.later = due
    this.tail = due
    if (!this.watching) this.watch()
  }

  remove(due: A): void {
    if (!due.listed) return
    if (due.earlier === undefined) this.head = due.later as A | undefined
    else due.earlier.later = due.later
    if (due.later === undefined) this.tail = due.earlier as A | undefined
    else due.later.earlier = due.earlier
    due.earlier = undefined
    due.later = undefined
    due.listed = false
  }

  /** Lets `count` of them expire now, the ones that are due first, in slices; the result is how many there were. */
  hasten(count: number): Effect.Effect<number> {
    let done = 0
    return Effect.map(
      Effect.whileLoop({
        while: () => done < count && this.head !== undefined,
        body: () => Effect.sleep(0),
        step: () => {
          for (let left = Math.min(sliceMax, count - done); left > 0 && this.head !== undefined; left--, done++) {
            const due = this.head
            this.remove(due)
            this.expire(due)
          }
        }
      }),
      () => done
    )
  }

  /** Ends the fiber; nothing expires any more. */
  stop(): void {
    this.watching = true
    this.fiber?.unsafeInterruptAsFork(FiberId.none)
  }

  private watch(): void {
    this.watching = true
    this.fiber = this.fork(
      Effect.whileLoop({
        while: () => (this.watching = this.head !== undefined),
        body: () => Effect.sleep(Math.max(0, (this.head?.dueMillis ?? 0) - this.now())),
        step: () => this.slice()
      })
    )
  }

  private slice(): void {
    const now = this.now()
    for (let handled = 0; handled < sliceMax; handled++) {
      const due = this.head
      if (due === undefined || due.dueMillis > now || this.now() - now > sliceMillisMax) return
      this.remove(due)
      this.expire(due)
    }
  }
}
