import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { BadRequest, DeadlineExceeded } from "../errors.ts"
import type { Incoming } from "./Incoming.ts"

/**
 * When what this fiber asks of the database must have ended, in milliseconds since the epoch; Infinity without such a time.
 * A fiber that is forked starts without. What works for a request needs none: it is interrupted when the request's time is
 * over, which cancels its statements. This is for what outlives its request.
 */
export const current: FiberRef.FiberRef<number> = FiberRef.unsafeMake(Infinity, { fork: () => Infinity })

/** Runs `effect` with this deadline, unless an earlier one is in force. */
export const locally = <A, E, R>(effect: Effect.Effect<A, E, R>, deadline: number): Effect.Effect<A, E, R> =>
  Effect.locallyWith(effect, current, (outer) => Math.min(outer, deadline))

/** Interrupts `effect` after so long, which is DeadlineExceeded. */
export const within = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  timeoutMillis: number
): Effect.Effect<A, E | DeadlineExceeded, R> =>
  Effect.timeoutFail(effect, {
    duration: timeoutMillis,
    onTimeout: () => new DeadlineExceeded({ timeoutMillis })
  })

/** The header by which a client says how many milliseconds it waits, as the Connect protocol has it. */
export const header = "connect-timeout-ms"

const wrong = new BadRequest({ message: "Connect-Timeout-Ms must be a whole number of milliseconds, 1 to 10 digits" })

/** The time that the client gives, in milliseconds; undefined when it gives none, or as much as everybody has. */
export const timeoutOf = (incoming: Incoming, everybodys: Duration.Duration): number | undefined | BadRequest => {
  const given = incoming.header(header)
  if (given === undefined) return undefined
  if (!/^[0-9]{1,10}$/.test(given) || Number(given) === 0) return wrong
  return Number(given) < Duration.toMillis(everybodys) ? Number(given) : undefined
}
