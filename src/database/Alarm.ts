import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"

/** What is told when its time is over. */
export interface Expiring {
  readonly expired: () => void
}

/**
 * Deadlines of many on one sleeping fiber. It sleeps until the earliest it knew of and then looks again, so that whoever
 * ends in time costs no timer.
 */
export interface Alarm {
  /** `at` in milliseconds of the clock. */
  readonly set: (expiring: Expiring, at: number) => void
  readonly clear: (expiring: Expiring) => void
}

export const make: Effect.Effect<Alarm, never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* Effect.clock
  const scope = yield* Effect.scope
  const runtime = yield* Effect.runtime<never>()
  const deadlines = new Map<Expiring, number>()
  let sleeping: { readonly until: number; readonly fiber: Fiber.RuntimeFiber<void> } | undefined

  const ring = () => {
    sleeping = undefined
    const now = clock.unsafeCurrentTimeMillis()
    let next = Infinity
    for (const [expiring, at] of deadlines) {
      if (at > now) {
        next = Math.min(next, at)
        continue
      }
      deadlines.delete(expiring)
      expiring.expired()
    }
    if (next < Infinity) sleep(next)
  }

  const sleep = (until: number) => {
    if (sleeping !== undefined) {
      if (sleeping.until <= until) return
      sleeping.fiber.unsafeInterruptAsFork(sleeping.fiber.id())
    }
    const nap = Effect.sleep(Math.max(0, until - clock.unsafeCurrentTimeMillis()))
    sleeping = { until, fiber: Runtime.runFork(runtime, Effect.zipRight(nap, Effect.sync(ring)), { scope }) }
  }

  return {
    set: (expiring, at) => {
      deadlines.set(expiring, at)
      sleep(at)
    },
    clear: (expiring) => {
      deadlines.delete(expiring)
    }
  }
})
