import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** Says that there may be something to take. Called from anywhere, as often as one likes. */
export type Wake = () => void

/**
 * What was taken, and what comes next: `again` takes at once, `wait` when it is woken, and after `end` there is nothing
 * more.
 */
export interface Taken<A> {
  readonly values: ReadonlyArray<A>
  readonly next: "again" | "wait" | "end"
}

/**
 * The source of a subscription. While it waits it is an object that somebody will wake, without a fiber; a fiber takes
 * what there is, one at a time, and ends. The first take needs no wake.
 */
export interface Feed<A, E> {
  take(): Effect.Effect<Taken<A>, E>
}

const nothing: Taken<never> = { values: [], next: "wait" }
const over: Taken<never> = { values: [], next: "end" }

/** A Stream as a feed: its fiber runs for as long as the scope lives, at most one value ahead. */
export const fromStream = <A, E>(
  stream: Stream.Stream<A, E>,
  wake: Wake
): Effect.Effect<Feed<A, E>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const slot = yield* Queue.bounded<A>(1)
    let ended: Exit.Exit<void, E> | undefined
    yield* Stream.runForEach(stream, (value) => Effect.tap(Queue.offer(slot, value), wake)).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          ended = exit
          wake()
        })
      ),
      Effect.forkScoped
    )
    const last = Effect.suspend((): Effect.Effect<Taken<A>, E> => {
      if (ended === undefined) return Effect.succeed(nothing)
      return Exit.isSuccess(ended) ? Effect.succeed(over) : Effect.failCause(ended.cause)
    })
    return {
      take: () =>
        Effect.flatMap(Queue.takeUpTo(slot, 1), (taken): Effect.Effect<Taken<A>, E> => {
          const values = [...taken]
          return values.length === 0 ? last : Effect.succeed({ values, next: "again" })
        })
    }
  })
