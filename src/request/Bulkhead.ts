import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Overloaded } from "../errors.ts"

/** Who may run at one time. Lane 0 goes first. */
export interface Places {
  readonly isFree: (lane: number) => boolean
  readonly take: (lane: number) => void
  readonly give: (lane: number) => void
}

/** So many places, whatever the lane. */
export const fixed = (concurrency: number): Places => {
  let taken = 0
  return {
    isFree: () => taken < concurrency,
    take: () => {
      taken++
    },
    give: () => {
      taken--
    }
  }
}

/**
 * How long one may wait: `burstMillis` when somebody began to wait a moment ago, and `standingMillis` when the queue has not
 * been empty for as long since. A queue that stands only makes everybody late.
 */
export interface Patience {
  readonly now: () => number
  readonly burstMillis: number
  readonly standingMillis: number
}

export interface Options {
  readonly places: Places
  /** Lanes to wait in; 1 unless given. */
  readonly lanes?: number
  /** Those who wait, in all lanes. */
  readonly waitingMax: number
  /** Forever unless given. Needs `sweep` to be called now and then. */
  readonly patience?: Patience
  /** What somebody who is not let in is told. */
  readonly refusal: () => Overloaded
  /** Called for each who was refused after waiting. */
  readonly onWaited?: (lane: number) => void
}

/** Work that runs at one time, and that waits for it, each with a bound. */
export interface Bulkhead {
  /**
   * Runs it in its turn: the lowest lane first, and in a lane first come first served. Overloaded at once when
   * `waitingMax` wait already, none of them in a later lane, and later when patience ends.
   */
  readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>, lane?: number) => Effect.Effect<A, E | Overloaded, R>
  /** Takes a place that is free at once, without a fiber: whether there was one. It must be given back. */
  readonly enter: (lane: number) => boolean
  readonly give: (lane: number) => void
  readonly waitingIn: (lane: number) => number
  readonly waiting: () => number
  /** How long who comes now may wait. */
  readonly patienceMillis: () => number
  /** Lets those in for whom there is a place by now, and refuses those who have waited for too long. */
  readonly sweep: () => void
}

/** The refusal of a bulkhead that tells everybody the same time. */
export const retryAfter = (time: Duration.DurationInput): (() => Overloaded) => {
  const retryAfterMillis = Duration.toMillis(time)
  return () => new Overloaded({ retryAfterMillis })
}

interface Waiter {
  readonly since: number
  readonly settle: (outcome: Effect.Effect<void, Overloaded>) => void
  /** Whether it has a place, which it must give back. */
  placed: boolean
}

const forever: Patience = { now: () => 0, burstMillis: Infinity, standingMillis: Infinity }

/**
 * A release wakes exactly the one whose turn it is; Effect's Semaphore wakes all, which costs seconds with thousands of
 * waiters.
 */
export const make = (options: Options): Bulkhead => {
  const { places, waitingMax, refusal } = options
  const patience = options.patience ?? forever
  const queues = Array.from({ length: options.lanes ?? 1 }, () => new Set<Waiter>())
  let waiting = 0
  /** Since when somebody waits again and again, and when nobody did. */
  let filledAt = 0
  let emptiedAt = -Infinity

  const leave = (lane: number, waiter: Waiter): boolean => {
    if (!queues[lane]!.delete(waiter)) return false
    if (--waiting === 0) emptiedAt = patience.now()
    return true
  }

  const patienceMillis = (): number => {
    const now = patience.now()
    const stands = waiting > 0 || now - emptiedAt < patience.burstMillis
    return stands && now - filledAt > patience.burstMillis ? patience.standingMillis : patience.burstMillis
  }

  const refuse = (lane: number, waiter: Waiter): void => {
    leave(lane, waiter)
    options.onWaited?.(lane)
    waiter.settle(Effect.fail(refusal()))
  }

  const admit = (lane: number, waiter: Waiter): void => {
    leave(lane, waiter)
    places.take(lane)
    waiter.placed = true
    waiter.settle(Effect.void)
  }

  /** The place goes from hand to hand, so nobody of the same lane can overtake. */
  const sweep = (): void => {
    if (waiting === 0) return
    const latest = patience.now() - patienceMillis()
    for (let lane = 0; lane < queues.length; lane++) {
      for (const waiter of queues[lane]!) {
        if (waiter.since < latest) refuse(lane, waiter)
        else if (places.isFree(lane)) admit(lane, waiter)
        else break
      }
    }
  }

  const give = (lane: number): void => {
    places.give(lane)
    sweep()
  }

  /** Whoever has waited longest in the last lane makes room for one of an earlier lane. */
  const makeRoom = (lane: number): boolean => {
    for (let last = queues.length - 1; last > lane; last--) {
      for (const waiter of queues[last]!) {
        refuse(last, waiter)
        return true
      }
    }
    return false
  }

  const enter = (lane: number): boolean => {
    if (queues[lane]!.size > 0 || !places.isFree(lane)) return false
    places.take(lane)
    return true
  }

  const take = (lane: number): Effect.Effect<void, Overloaded> => {
    if (enter(lane)) return Effect.void
    if (waiting >= waitingMax && !makeRoom(lane)) return Effect.fail(refusal())
    return Effect.async((resume) => {
      const waiter: Waiter = { since: patience.now(), settle: resume, placed: false }
      if (waiting === 0 && waiter.since - emptiedAt >= patience.burstMillis) filledAt = waiter.since
      queues[lane]!.add(waiter)
      waiting++
      // Interrupted between being let in and running: the place goes on to the next.
      return Effect.sync(() => {
        if (!leave(lane, waiter) && waiter.placed) give(lane)
      })
    })
  }

  return {
    run: (effect, lane = 0) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(Effect.suspend(() => take(lane))), () =>
          Effect.ensuring(
            restore(effect),
            Effect.sync(() => give(lane))
          )
        )
      ),
    enter,
    give,
    waitingIn: (lane) => queues[lane]!.size,
    waiting: () => waiting,
    patienceMillis,
    sweep
  }
}
