import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Supervised from "../actor/Supervised.ts"
import type { Shape } from "../config/Settings.ts"
import { Overloaded } from "../errors.ts"
import type { Priority } from "../graphql/Priority.ts"
import { bulk, names, read, vital } from "../graphql/Priority.ts"
import { stopwatch } from "../telemetry/Measure.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Bulkhead from "./Bulkhead.ts"
import { Best, Limit } from "./Limit.ts"
import * as Yielding from "./Yielding.ts"

/** Operations that wait for a place, in all classes. */
export const waitingMax = 256
/** How long one waits in a burst, and while somebody has been waiting all the time. */
export const burstMillis = 50
export const standingMillis = 10
/** How often the limit, the queue and the event loop are looked at. */
export const watchMillis = 20
/** Documents a second that are prepared to learn their class, while the lowest class is shed. */
export const learnedPerSecond = 10
/** What the refused are told to wait, each another time between the two. */
export const retryMillisMin = 1_000
export const retryMillisMax = 3_000

/** What is to run. The best time is known by the object, which must be the same each time. */
export interface Operation {
  readonly priority: Priority
}

/** Lets as many operations run as this process can, the most important first. */
export interface Admission {
  /**
   * Why nothing of this class is begun now, found without a fiber; undefined: it may come in. Without a class it is what
   * nobody knows yet: the lowest, unless the class may be found out.
   */
  readonly refusal: (priority: Priority | undefined) => Overloaded | undefined
  /** Runs it when there is a place, which it may wait for shortly. */
  readonly run: <A, E, R>(operation: Operation, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Overloaded, R>
  /**
   * Lets it in without a fiber: what to call when it has ended, once. undefined: there is no place at once, and `run`
   * waits for one.
   */
  readonly enter: (operation: Operation) => (() => void) | undefined
  /** Whether somebody waits or would have to: then work is better left until it is known to be let in. */
  readonly isBusy: () => boolean
  readonly figures: () => { readonly places: number; readonly inUse: number; readonly waiting: number }
}

const refusals: Effect.Effect<() => Overloaded> = Effect.map(
  Effect.replicateEffect(Random.nextIntBetween(retryMillisMin, retryMillisMax), 64),
  (times) => {
    const made = times.map((retryAfterMillis) => new Overloaded({ retryAfterMillis }))
    let next = 0
    return () => made[next++ % made.length]!
  }
)

/**
 * In one thread what comes too fast waits in the sockets, where no count of running operations shows it; but then the
 * event loop comes round late, and whoever is served now has waited for as long. This much lateness, in `delayMillis`,
 * each class can bear.
 */
const latenessMax: ReadonlyArray<number> = [Infinity, 4, 2, 1]

/** The watch ends with the scope. */
export const make = (overload: Shape["overload"]): Effect.Effect<Admission, never, Scope.Scope> =>
  Effect.gen(function* () {
    const refused = yield* refusals
    const now = stopwatch(yield* Effect.clock)
    const delayMillis = Duration.toMillis(overload.delay)
    const limit = new Limit({ ...overload, delayMillis }, now())
    const best = new WeakMap<Operation, Best>()
    let watchedAt = now()
    let learned = 0

    const shed = (lane: number, reason: "full" | "late" | "waited"): Overloaded => {
      Metrics.series(Metrics.requestsShed, names[lane]!, reason).unsafeUpdate(1, [])
      return refused()
    }

    // At most waitingMax wait.
    const bulkhead = Bulkhead.make({
      places: limit,
      lanes: names.length,
      waitingMax,
      patience: { now, burstMillis, standingMillis },
      refusal: refused,
      onWaited: (lane) => void shed(lane, "waited")
    })

    const lateMillis = (at: number): number => Math.max(0, at - watchedAt - watchMillis)

    const reasonFor = (priority: Priority): "full" | "late" | undefined => {
      if (lateMillis(now()) > latenessMax[priority]! * delayMillis) return "late"
      if (limit.isFree(priority)) return undefined
      return limit.waitMillis(priority, bulkhead.waitingIn(priority)) > bulkhead.patienceMillis() ? "full" : undefined
    }

    const refusal: Admission["refusal"] = (priority) => {
      const reason = reasonFor(priority ?? bulk)
      if (reason === undefined) return undefined
      if (priority === undefined && learned < learnedPerSecond) {
        learned++
        return undefined
      }
      return shed(priority ?? bulk, reason)
    }

    const bestOf = (operation: Operation): Best => {
      let known = best.get(operation)
      if (known === undefined) best.set(operation, (known = new Best()))
      return known
    }

    /** Measures from now on until what it returns is called. */
    const begin = (operation: Operation): (() => void) => {
      const begun = now()
      // It was in a socket for about as long as the loop is late.
      const late = lateMillis(begun)
      return () => {
        const ended = now()
        limit.ended(late + bestOf(operation).delayOf(ended - begun, ended))
      }
    }

    const measured = <A, E, R>(operation: Operation, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.suspend(() => Effect.ensuring(effect, Effect.sync(begin(operation))))

    const enter: Admission["enter"] = (operation) => {
      if (!bulkhead.enter(operation.priority)) return undefined
      const end = begin(operation)
      return () => {
        end()
        bulkhead.give(operation.priority)
      }
    }

    const watch = Effect.sync(() => {
      const at = now()
      limit.turn(at)
      bulkhead.sweep()
      learned = Math.max(0, learned - ((at - watchedAt) * learnedPerSecond) / 1_000)
      watchedAt = at
      Metrics.requestPlaces.unsafeUpdate(limit.places, [])
      Metrics.requestsWaiting.unsafeUpdate(bulkhead.waiting(), [])
    })
    yield* Supervised.fork({
      name: "admission",
      effect: Effect.forever(Effect.zipRight(watch, Effect.sleep(watchMillis)))
    })

    return {
      refusal,
      enter,
      run: (operation, effect) =>
        bulkhead.run(
          measured(operation, operation.priority < read ? effect : Yielding.locally(effect)),
          operation.priority
        ),
      isBusy: () => !limit.isFree(vital + 1) || lateMillis(now()) > delayMillis,
      figures: () => ({ places: limit.places, inUse: limit.inUse, waiting: bulkhead.waiting() })
    }
  })
