import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"

/** What was started: its Exit where it did not wait, otherwise its fiber. */
export type Started<A, E> = Exit.Exit<A, E> | Fiber.RuntimeFiber<A, E>

/** Starts an Effect in a fiber at once. */
type Start = <A, E>(effect: Effect.Effect<A, E>) => Started<A, E>

/** The Exit of an Effect that is one already: it needs no fiber. */
export const exitOf = <A, E>(effect: Effect.Effect<A, E>): Exit.Exit<A, E> | undefined =>
  Exit.isExit(effect) ? (effect as Exit.Exit<A, E>) : undefined

/** Where such Effects run: none is counted, and none that fails has a line in the log besides its answer. */
export const quiet: Effect.Effect<Runtime.Runtime<never>> = Effect.map(
  Effect.locally(Effect.runtime<never>(), FiberRef.unhandledErrorLogLevel, Option.none()),
  (given) =>
    Runtime.make({ ...given, runtimeFlags: RuntimeFlags.disable(given.runtimeFlags, RuntimeFlags.RuntimeMetrics) })
)

/** Starts Effects for those who are called by something other than Effect. */
export const starter: Effect.Effect<Start> = Effect.map(quiet, (runtime) => {
  const runFork = Runtime.runFork(runtime)
  return (effect) => {
    const fiber = runFork(effect)
    return fiber.unsafePoll() ?? fiber
  }
})
