import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import type * as Scope from "effect/Scope"
import type { UserId } from "../domain/Ids.ts"

/** Someone who says nothing more for this long has stopped typing. */
export const leaseMillis = 5_000
/** Between two events about one person. */
export const quietMillis = 2_000

interface State {
  /** When the lease ends; 0 once they said that they stopped. */
  leaseEndsAt: number
  shown: boolean
  publishedAt: number
}

/** Who is typing in one interaction: shows a change at once or as soon as `quietMillis` allow, and ends leases by itself. */
export interface Typing {
  readonly set: (userId: UserId, typing: boolean) => Effect.Effect<void>
}

/** `publish` gets every change that is to be seen. */
export const make = (
  publish: (userId: UserId, typing: boolean) => Effect.Effect<void>
): Effect.Effect<Typing, never, Scope.Scope> =>
  Effect.gen(function* () {
    const states = new Map<UserId, State>()
    const fibers = yield* FiberMap.make<UserId>()

    /** Shows what has changed and returns when to look again; undefined when nothing is left to do. */
    const look = (userId: UserId, state: State, now: number): Effect.Effect<number | undefined> => {
      const typing = state.leaseEndsAt > now
      const mayPublishAt = state.publishedAt + quietMillis
      if (typing !== state.shown && now >= mayPublishAt) {
        state.shown = typing
        state.publishedAt = now
        return Effect.as(publish(userId, typing), typing ? state.leaseEndsAt : undefined)
      }
      if (typing !== state.shown) return Effect.succeed(mayPublishAt)
      return Effect.succeed(typing ? state.leaseEndsAt : undefined)
    }

    const follow = (userId: UserId, state: State): Effect.Effect<void> =>
      Effect.gen(function* () {
        for (;;) {
          const now = yield* Clock.currentTimeMillis
          const at = yield* look(userId, state, now)
          if (at === undefined) return
          yield* Effect.sleep(Math.max(1, at - now))
        }
      })

    return {
      set: (userId, typing) =>
        Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          const before = states.get(userId)
          if (before === undefined && !typing) return
          const state = before ?? { leaseEndsAt: 0, shown: false, publishedAt: -Infinity }
          states.set(userId, state)
          state.leaseEndsAt = typing ? now + leaseMillis : 0
          // The fiber that follows a running lease looks at the new end when it wakes.
          if (state.shown && typing && FiberMap.unsafeHas(fibers, userId)) return
          yield* FiberMap.run(fibers, userId, follow(userId, state))
        })
    }
  })
