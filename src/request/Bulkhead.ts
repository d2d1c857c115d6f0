import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Overloaded } from "../errors.ts"

/** Work that runs at one time, and that waits for it, each with a bound. */
export interface Bulkhead {
  /** Runs it in its turn, first come first served. Overloaded at once when `waitingMax` wait already. */
  readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Overloaded, R>
  readonly running: () => number
  readonly waiting: () => number
}

/**
 * A bulkhead of `concurrency` places. A release wakes exactly the one who waited longest; Effect's Semaphore wakes all,
 * which costs seconds with thousands of waiters.
 */
export const make = (options: {
  readonly concurrency: number
  readonly waitingMax: number
  /** What the refused are told to wait. */
  readonly retryAfter: Duration.DurationInput
}): Bulkhead => {
  const retryAfterMillis = Duration.toMillis(options.retryAfter)
  const queue = new Set<() => void>()
  let running = 0

  /** The place goes from hand to hand, so nobody can overtake. */
  const release = Effect.sync(() => {
    const [next] = queue
    if (next === undefined) {
      running--
      return
    }
    queue.delete(next)
    next()
  })

  const acquire = Effect.suspend(() => {
    if (running < options.concurrency) {
      running++
      return Effect.void
    }
    if (queue.size >= options.waitingMax) return Effect.fail(new Overloaded({ retryAfterMillis }))
    return Effect.async<void>((resume) => {
      let placed = false
      const turn = () => {
        placed = true
        resume(Effect.void)
      }
      queue.add(turn)
      // Interrupted between being woken and running: the place goes on to the next.
      return Effect.suspend(() => (placed ? release : Effect.sync(() => queue.delete(turn))))
    })
  })

  return {
    run: (effect) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(acquire), () => Effect.ensuring(restore(effect), release))
      ),
    running: () => running,
    waiting: () => queue.size
  }
}
