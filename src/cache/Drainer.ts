import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * Work that gathers and is done in batches: `kick` starts a fiber in the scope unless one runs; it waits `interval`,
 * runs `pass`, and goes on for as long as `pass` says that there is more or `kick` came meanwhile.
 */
export const make = (
  scope: Scope.Scope,
  interval: Duration.DurationInput,
  pass: Effect.Effect<boolean>
): { readonly kick: Effect.Effect<void> } => {
  let running = false
  let kicked = false
  const step = Effect.zipRight(
    Effect.sync(() => void (kicked = false)),
    Effect.uninterruptible(pass)
  )
  // The flag goes down in the same step that finds no more work, so that no kick falls between the two.
  const loop = Effect.repeat(Effect.delay(step, interval), { while: (more) => (running = more || kicked) })
  return {
    kick: Effect.suspend(() => {
      kicked = true
      if (running) return Effect.void
      running = true
      return Effect.asVoid(Effect.forkIn(Effect.interruptible(loop), scope))
    })
  }
}
