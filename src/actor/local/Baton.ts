import * as Effect from "effect/Effect"

/**
 * Lets one effect run at a time, in the order of arrival. Each end wakes the next one only; Effect's semaphore wakes all
 * that wait, which costs as many wake-ups as the square of them.
 */
export class Baton {
  private held = false
  private readonly waiting = new Set<() => void>()

  hold<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.acquireUseRelease(
      this.take,
      () => effect,
      () => Effect.sync(() => this.pass())
    )
  }

  private readonly take = Effect.interruptible(
    Effect.async<void>((resume) => {
      if (!this.held) {
        this.held = true
        return resume(Effect.void)
      }
      const wake = () => resume(Effect.void)
      this.waiting.add(wake)
      return Effect.sync(() => {
        // Either it still waits, or it was just handed the baton and must hand it on.
        if (!this.waiting.delete(wake)) this.pass()
      })
    })
  )

  private pass(): void {
    for (const wake of this.waiting) {
      this.waiting.delete(wake)
      return wake()
    }
    this.held = false
  }
}
