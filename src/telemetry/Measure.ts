import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Cause from "effect/Cause"
import type * as Metric from "effect/Metric"
import * as Metrics from "./Metrics.ts"

/** Records how long `effect` took, however it ended, in a histogram of seconds. */
export const observe: {
  (seconds: Metric.Metric.Histogram<number>): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
} = (seconds) => (effect) => timing(effect, (_exit, elapsed) => seconds.unsafeUpdate(elapsed, []))

/**
 * The same function, measured: `connect_function_calls_total` by outcome and `connect_function_duration_seconds`.
 * `name` becomes a label, so it is written in the program and never made from input.
 */
export const measure = <Args extends ReadonlyArray<unknown>, A, E, R>(
  name: string,
  run: (...args: Args) => Effect.Effect<A, E, R>
): ((...args: Args) => Effect.Effect<A, E, R>) => {
  const record = recorder(name)
  return (...args) =>
    timing(
      Effect.suspend(() => run(...args)),
      record
    )
}

/** `measure` for a method of a class: `@timed()` takes the method's name, `@timed("user.search")` the given one. */
export const timed =
  (name?: string) =>
  <This, Args extends ReadonlyArray<unknown>, A, E, R>(
    method: (this: This, ...args: Args) => Effect.Effect<A, E, R>,
    context: ClassMethodDecoratorContext<This>
  ) => {
    const record = recorder(name ?? String(context.name))
    return function (this: This, ...args: Args): Effect.Effect<A, E, R> {
      return timing(
        Effect.suspend(() => Reflect.apply(method, this, args)),
        record
      )
    }
  }

const recorder = (name: string) => {
  const seconds = Metrics.series(Metrics.callSeconds, name)
  return (exit: Exit.Exit<unknown, unknown>, elapsed: number): void => {
    seconds.unsafeUpdate(elapsed, [])
    Metrics.series(Metrics.calls, name, outcomeOf(exit)).unsafeUpdate(1, [])
  }
}

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return "ok"
  if (Cause.isInterruptedOnly(exit.cause)) return "interrupted"
  return Cause.isFailure(exit.cause) ? "failed" : "died"
}

const live = Context.get(DefaultServices.liveServices, Clock.Clock)

/**
 * Milliseconds with fractions, from no particular beginning. The live clock would say them in BigInts; where another one is
 * in force, such as a test's, that one is asked.
 */
export const stopwatch = (clock: Clock.Clock): (() => number) =>
  clock === live ? () => performance.now() : () => Number(clock.unsafeCurrentTimeNanos()) / 1e6

/** Elapsed time comes from the Clock, in seconds with the resolution of nanoseconds. */
const timing = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  record: (exit: Exit.Exit<A, E>, elapsed: number) => void
): Effect.Effect<A, E, R> =>
  Effect.clockWith((clock) => {
    const start = clock.unsafeCurrentTimeNanos()
    return Effect.onExit(effect, (exit) =>
      Effect.sync(() => record(exit, Number(clock.unsafeCurrentTimeNanos() - start) / 1e9))
    )
  })
