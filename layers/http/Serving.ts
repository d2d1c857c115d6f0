import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { DeadlineExceeded, Overloaded } from "../../src/errors.ts"
import * as answers from "../../src/request/answers.ts"
import type { Answer, Handler, Incoming } from "../../src/request/Incoming.ts"
import type { Sockets } from "../../src/request/GraphqlSocket.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"

/** Requests being answered at once; more are refused with 503. */
export const inFlightMax = 10_000

/** How often deadlines are looked at; one fiber does it for all requests. */
export const deadlineCheckInterval = "100 millis"

/** What a runtime's server is given: it brings the bytes. */
export interface Serving {
  /**
   * Answers at once where nothing waits, and with a promise where something does. `onAbort` is only called in the second
   * case, with what to do when the client goes away.
   */
  readonly answer: (incoming: Incoming, onAbort: (abort: () => void) => void) => Answer | Promise<Answer>
  readonly sockets: Sockets
}

/** Where a server listens. */
export interface Bound {
  readonly host: string
  readonly port: number
}

interface InFlight {
  readonly fiber: Fiber.RuntimeFiber<Answer>
  readonly deadline: number
  isLate: boolean
}

/** Waits until nothing is left, at most so long. Finalizers do not end by themselves: this one may be cut off. */
export const emptied = (left: () => number, within: Duration.DurationInput): Effect.Effect<void> =>
  Effect.repeat(Effect.sync(left), { until: (n) => n === 0, schedule: Schedule.spaced("10 millis") }).pipe(
    Effect.interruptible,
    Effect.timeoutOption(within),
    Effect.asVoid
  )

/** Requests in flight: each with its deadline, and all of them finished or cut off when draining ends. */
export interface Requests {
  readonly answer: Serving["answer"]
  /** Waits until none is left or the time is up; what is left then is interrupted and answered with 503. */
  readonly drain: (within: Duration.Duration) => Effect.Effect<void>
}

/** Runs a handler's Effects for a server, each in one fiber that starts at once. */
export const requests = (handler: Handler, timeout: Duration.Duration): Effect.Effect<Requests, never, Scope.Scope> =>
  Effect.gen(function* () {
    const given = yield* Effect.locally(Effect.runtime<never>(), FiberRef.unhandledErrorLogLevel, Option.none())
    const clock = yield* Effect.clock
    const timeoutMillis = Duration.toMillis(timeout)
    const inFlight = new Set<InFlight>()
    const runFork = Runtime.runFork(
      Runtime.make({ ...given, runtimeFlags: RuntimeFlags.disable(given.runtimeFlags, RuntimeFlags.RuntimeMetrics) })
    )

    const late = answers.failure(new DeadlineExceeded({ timeoutMillis }))
    const busy = answers.failure(new Overloaded({ retryAfterMillis: 1_000 }))

    const settled = (exit: Exit.Exit<Answer>, isLate: boolean): Answer =>
      Exit.isSuccess(exit) ? exit.value : isLate ? late : busy

    const answer: Serving["answer"] = (incoming, onAbort) => {
      if (inFlight.size >= inFlightMax) {
        Metrics.series(Metrics.requestsShed, "in_flight").unsafeUpdate(1, [])
        return busy
      }
      const fiber = runFork(handler(incoming))
      const exit = fiber.unsafePoll()
      if (exit !== null) return settled(exit, false)
      const entry: InFlight = { fiber, deadline: clock.unsafeCurrentTimeMillis() + timeoutMillis, isLate: false }
      inFlight.add(entry)
      Metrics.requestsInFlight.unsafeUpdate(inFlight.size, [])
      onAbort(() => fiber.unsafeInterruptAsFork(fiber.id()))
      return new Promise((resolve) => {
        fiber.addObserver((done) => {
          inFlight.delete(entry)
          Metrics.requestsInFlight.unsafeUpdate(inFlight.size, [])
          resolve(settled(done, entry.isLate))
        })
      })
    }

    // All have the same time, so they are in the order of their deadlines.
    const checkDeadlines = Effect.map(Clock.currentTimeMillis, (now) => {
      for (const entry of inFlight) {
        if (entry.deadline > now) return
        entry.isLate = true
        entry.fiber.unsafeInterruptAsFork(entry.fiber.id())
      }
    })
    yield* Effect.forkScoped(Effect.repeat(checkDeadlines, Schedule.spaced(deadlineCheckInterval)))

    return {
      answer,
      drain: (within) =>
        Effect.gen(function* () {
          yield* emptied(() => inFlight.size, within)
          for (const entry of inFlight) entry.fiber.unsafeInterruptAsFork(entry.fiber.id())
          yield* emptied(() => inFlight.size, "1 second")
        })
    }
  })
