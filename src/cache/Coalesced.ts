import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

/** Runs `work` once at a time, uninterruptibly. Whoever asks while it runs shares the one run after it. */
export const make = (work: Effect.Effect<void>): Effect.Effect<void> => {
  let running: Deferred.Deferred<void> | undefined
  let begun = 0
  const run = Effect.uninterruptible(
    Effect.suspend(() => {
      const done = (running = Deferred.unsafeMake<void>(FiberId.none))
      begun++
      const ended = Effect.suspend(() => {
        running = undefined
        return Deferred.succeed(done, undefined)
      })
      return Effect.ensuring(work, ended)
    })
  )
  /** The first of those who waited runs it; the others wait for that one, which may be over already. */
  const after = (known: number) =>
    Effect.suspend(() => (begun === known ? run : running === undefined ? Effect.void : Deferred.await(running)))
  return Effect.suspend(() => (running === undefined ? run : Effect.zipRight(Deferred.await(running), after(begun))))
}
