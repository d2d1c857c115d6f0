import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { Feed, Taken, Wake } from "../../src/graphql/Feed.ts"

/** What a feed tells, as a Stream: for tests that read it as it comes. */
export const streamOf = <A, E, E2, R>(
  open: (wake: Wake) => Effect.Effect<Feed<A, E>, E2, R>
): Effect.Effect<Stream.Stream<A, E>, E2, R> =>
  Effect.gen(function* () {
    const woken = yield* Queue.sliding<true>(1)
    const feed = yield* open(() => void woken.unsafeOffer(true))
    const taken = Stream.paginateEffect("again" as Taken<A>["next"], (now) =>
      Effect.map(
        now === "wait" ? Effect.zipRight(Queue.take(woken), feed.take()) : feed.take(),
        ({ next, values }) => [values, next === "end" ? Option.none<typeof next>() : Option.some(next)] as const
      )
    )
    return Stream.flattenIterables(taken)
  })
