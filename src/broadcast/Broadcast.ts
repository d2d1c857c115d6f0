import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"

/** A message of the topic; or `Gap`: some may have been missed, so refill from the database. */
export type Signal<A> = { readonly _tag: "Message"; readonly message: A } | { readonly _tag: "Gap" }

/** Messages waiting for one subscriber; beyond that the oldest are dropped and the subscriber sees one `Gap`. */
export const subscriberBufferMax = 256

/**
 * Fan-out of what just happened to whoever listens, in this process and in others. It may lose; it never blocks its
 * publisher and never fails it. Messages are plain JSON values. `layerLocal` for one process, `layerStore` over the
 * Store's publish and subscribe, which also hands local subscribers the value without a round trip.
 * Topics: `interaction:<uuid>`, `inbox:<user uuid>`, `queue`, `session`, `moderation`.
 */
export class Broadcast extends Context.Tag("@connect/Broadcast")<
  Broadcast,
  {
    readonly publish: (topic: string, message: unknown) => Effect.Effect<void>
    /** Active when the Effect returns. `A` is what the publishers of this topic agreed on. */
    readonly subscribe: <A>(topic: string) => Effect.Effect<Stream.Stream<Signal<A>>, never, Scope.Scope>
  }
>() {}
