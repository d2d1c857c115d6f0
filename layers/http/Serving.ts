import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Supervised from "../../src/actor/Supervised.ts"
import { BadRequest, DeadlineExceeded, Overloaded } from "../../src/errors.ts"
import * as answers from "../../src/request/answers.ts"
import { starter } from "../../src/request/immediate.ts"
import type { Answer, Arriving, Body, Handler, Incoming } from "../../src/request/Incoming.ts"
import { headersOf, WithBody } from "../../src/request/Incoming.ts"
import type { Sockets } from "../../src/request/GraphqlSocket.ts"
import { stopwatch } from "../../src/telemetry/Measure.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"

/** Requests whose answer is under way; no more bodies are read then, and their senders get 503. */
export const inFlightMax = 10_000

/** How often deadlines are looked at; one fiber does it for all requests. */
export const deadlineCheckInterval = "100 millis"

/** What a runtime's server is given: it brings the bytes. */
export interface Serving {
  /** What `respond` makes of the answer: at once where nothing waits, and with a promise where something does. */
  readonly answer: <R>(incoming: Arriving, respond: (answer: Answer) => R) => R | Promise<R>
  readonly sockets: Sockets
}

/** Where a server listens. */
export interface Bound {
  readonly host: string
  readonly port: number
  /** Answers that are not written to their end, because their clients read slowly. */
  readonly unsent: () => number
}

/** A request that waits for its body or for a fiber. */
interface InFlight {
  readonly deadline: number
  /** Ends the waiting with this answer. */
  cut: (answer: Answer) => void
}

/** At most so long. Finalizers do not end by themselves: this one may be cut off. */
const within = <A>(effect: Effect.Effect<A>, time: Duration.DurationInput): Effect.Effect<void> =>
  effect.pipe(Effect.interruptible, Effect.timeoutOption(time), Effect.asVoid)

/** Waits until nothing is left, at most so long. */
export const emptied = (left: () => number, time: Duration.DurationInput): Effect.Effect<void> =>
  within(Effect.repeat(Effect.sync(left), { until: (n) => n === 0, schedule: Schedule.spaced("10 millis") }), time)

/** What a client takes at most to come back when Retry-After is over. */
const lateMillis = 500

const returnMillisOf = ({ headers }: Answer): number => {
  const seconds = headers["retry-after"]
  return seconds === undefined ? 0 : Number(seconds) * 1_000 + lateMillis
}

/** A turn of the event loop: what has arrived is read, whatever time there was for it before. */
const turn: Effect.Effect<void> = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** Requests in flight: each with its deadline, and all of them finished or cut off when draining ends. */
export interface Requests {
  readonly answer: Serving["answer"]
  /** From now on each answer ends its connection, so that its client goes on elsewhere. */
  readonly leave: Effect.Effect<void>
  /**
   * Waits until none is left, all answers are sent and those have come back who were refused before and told when, or the
   * time is up; what is left then is interrupted and answered with 503.
   */
  readonly finish: (unsent: Bound["unsent"], time: Duration.Duration) => Effect.Effect<void>
  /**
   * Waits until nobody has asked for a moment, a second at most. Nothing has arrived unread when it ends, so that a server
   * that is closed at once leaves nobody without an answer who asked before.
   */
  readonly quiet: Effect.Effect<void>
}

/** Runs a handler for a server: without a fiber where it needs none, and otherwise in one that starts at once. */
export const requests = (
  handler: Handler,
  timeout: Duration.Duration,
  answered: (incoming: Incoming, answer: Answer) => void
): Effect.Effect<Requests, never, Scope.Scope> =>
  Effect.gen(function* () {
    const start = yield* starter
    const now = stopwatch(yield* Effect.clock)
    const timeoutMillis = Duration.toMillis(timeout)
    const inFlight = new Set<InFlight>()
    const late = answers.failure(new DeadlineExceeded({ timeoutMillis }))
    const busy = answers.failure(new Overloaded({ retryAfterMillis: 1_000 }))

    const broken = new BadRequest({ message: "The body did not arrive whole" })

    const settled = (exit: Exit.Exit<Answer>): Answer => (Exit.isSuccess(exit) ? exit.value : busy)

    let isLeaving = false
    /** Answers since somebody looked, while leaving. */
    let lately = 0
    const looked = Effect.sync(() => {
      const answers = lately
      lately = 0
      return answers
    })
    /** Until then those come back who were told when, on connections that they keep. */
    let awaitedUntil = 0
    const counted = (incoming: Incoming, one: Answer): Answer => {
      answered(incoming, one)
      if (!isLeaving) {
        if (one.status === 503) awaitedUntil = Math.max(awaitedUntil, now() + returnMillisOf(one))
        return one
      }
      lately++
      return { status: one.status, headers: { ...headersOf(one), connection: "close" }, body: one.body }
    }

    /** Until the answer is there the request counts, and can be cut off. */
    const wait = <R>(
      incoming: Incoming,
      respond: (answer: Answer) => R,
      begin: (entry: InFlight, done: (answer: Answer) => void) => void
    ): Promise<R> =>
      new Promise((resolve, reject) => {
        const done = (answer: Answer): void => {
          if (!inFlight.delete(entry)) return
          try {
            resolve(respond(counted(incoming, answer)))
          } catch (defect) {
            reject(defect)
          }
        }
        const entry: InFlight = { deadline: now() + timeoutMillis, cut: done }
        inFlight.add(entry)
        begin(entry, done)
      })

    const awaitFiber = (
      fiber: Fiber.RuntimeFiber<Answer>,
      incoming: Arriving,
      entry: InFlight,
      done: (answer: Answer) => void
    ): void => {
      // Its answer comes when what it held is released.
      let instead: Answer | undefined
      entry.cut = (answer) => {
        instead = answer
        fiber.unsafeInterruptAsFork(fiber.id())
      }
      incoming.onAbort(() => fiber.unsafeInterruptAsFork(fiber.id()))
      fiber.addObserver((exit) => done(Exit.isFailure(exit) ? (instead ?? busy) : exit.value))
    }

    const goOn = (
      { next }: WithBody,
      body: Body,
      incoming: Arriving,
      entry: InFlight,
      done: (answer: Answer) => void
    ): void => {
      if (!inFlight.has(entry)) return
      const reply = next(body)
      if (!Effect.isEffect(reply)) return done(reply)
      const running = start(reply)
      if (Exit.isExit(running)) done(settled(running))
      else awaitFiber(running, incoming, entry, done)
    }

    const answer: Serving["answer"] = (incoming, respond) => {
      const outcome = handler(incoming)
      if (outcome instanceof WithBody) {
        if (inFlight.size >= inFlightMax) {
          Metrics.series(Metrics.requestsShed, "unknown", "in_flight").unsafeUpdate(1, [])
          return respond(counted(incoming, busy))
        }
        return wait(incoming, respond, (entry, done) => {
          const body = incoming.read(outcome.bytesMax)
          const arrived = (whole: Body): void => goOn(outcome, whole, incoming, entry, done)
          if (body instanceof Promise) void body.then(arrived, () => arrived(broken))
          else arrived(body)
        })
      }
      if (!Effect.isEffect(outcome)) return respond(counted(incoming, outcome))
      const running = start(outcome)
      if (Exit.isExit(running)) return respond(counted(incoming, settled(running)))
      return wait(incoming, respond, (entry, done) => awaitFiber(running, incoming, entry, done))
    }

    // All have the same time, so they are in the order of their deadlines.
    const checkDeadlines = Effect.sync(() => {
      const at = now()
      Metrics.requestsInFlight.unsafeUpdate(inFlight.size, [])
      for (const entry of inFlight) {
        if (entry.deadline > at) return
        entry.cut(late)
      }
    })
    yield* Supervised.fork({
      name: "request deadlines",
      effect: Effect.forever(Effect.zipRight(checkDeadlines, Effect.sleep(deadlineCheckInterval)))
    })

    return {
      answer,
      leave: Effect.sync(() => {
        isLeaving = true
      }),
      finish: (unsent, time) =>
        Effect.gen(function* () {
          yield* emptied(() => inFlight.size + unsent() + Number(now() < awaitedUntil), time)
          Metrics.requestsCut.unsafeUpdate(inFlight.size, [])
          for (const entry of inFlight) entry.cut(busy)
          yield* emptied(() => inFlight.size, "1 second")
        }),
      quiet: within(
        Effect.repeat(Effect.zipRight(turn, looked), {
          until: (answers) => answers === 0,
          schedule: Schedule.spaced("50 millis")
        }),
        "1 second"
      )
    }
  })
