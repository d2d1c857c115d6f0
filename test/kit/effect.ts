import { afterAll, beforeAll, describe, test } from "bun:test"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"

/** Wall-clock limit of one test, outside the test clock. */
const limitMillis = 30_000

const settle = async <A, E>(promise: Promise<Exit.Exit<A, E>>): Promise<void> => {
  const exit = await promise
  if (Exit.isFailure(exit)) throw Cause.squash(exit.cause)
}

type Body<R> = () => Effect.Effect<unknown, unknown, R>

/**
 * Before each step the TestClock lets others run, by timers of a millisecond that add up to most of a test's time: a
 * turn of the event loop does as well.
 */
const swiftly = TestClock.testClockWith((clock) =>
  Effect.sync(() =>
    Object.assign(clock, { yieldTimer: Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void))) })
  )
)

/** A test as an Effect under the TestClock, in a scope of its own. */
export const it = (name: string, body: Body<Scope.Scope>, millis = limitMillis): void =>
  test(
    name,
    () =>
      settle(
        Effect.runPromiseExit(
          Effect.zipRight(swiftly, Effect.scoped(Effect.suspend(body))).pipe(Effect.provide(TestContext.TestContext))
        )
      ),
    millis
  )

/** The same on the real clock: for real servers and sockets. */
it.live = (name: string, body: Body<Scope.Scope>, millis = limitMillis): void =>
  test(name, () => settle(Effect.runPromiseExit(Effect.scoped(Effect.suspend(body)))), millis)

/** A group of tests on the real clock that share one build of a layer. */
export const withLayer = <R, E>(
  name: string,
  layer: Layer.Layer<R, E>,
  tests: (it: (name: string, body: Body<R | Scope.Scope>, millis?: number) => void) => void,
  millis = limitMillis
): void =>
  describe(name, () => {
    const runtime = ManagedRuntime.make(layer)
    beforeAll(async () => {
      await runtime.runtime()
    }, millis)
    afterAll(() => runtime.dispose(), millis)
    tests((title, body, testMillis = millis) =>
      test(title, () => settle(runtime.runPromiseExit(Effect.scoped(Effect.suspend(body)))), testMillis)
    )
  })
