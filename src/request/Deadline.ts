import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"

/**
 * When the request that this fiber works for has to be answered, in milliseconds since the epoch; Infinity without one. A
 * fiber that is forked starts without: it is interrupted with the request, or it is to outlive it.
 */
export const current: FiberRef.FiberRef<number> = FiberRef.unsafeMake(Infinity, { fork: () => Infinity })

/** Runs `effect` with this deadline, unless an earlier one is in force. */
export const locally = <A, E, R>(effect: Effect.Effect<A, E, R>, deadline: number): Effect.Effect<A, E, R> =>
  Effect.locallyWith(effect, current, (outer) => Math.min(outer, deadline))
