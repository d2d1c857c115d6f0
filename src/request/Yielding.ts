import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"

/**
 * Whether what this fiber asks of something that is short lets everybody else go first: it works for a request that is not
 * important. What many wait for at a time, such as a commit or a batch, is asked for by a fiber of its own.
 */
export const current: FiberRef.FiberRef<boolean> = FiberRef.unsafeMake(false)

/** Runs `effect` behind those who do not yield. */
export const locally = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.locally(effect, current, true)
