import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { Store } from "../store/Store.ts"
import * as Relay from "./Relay.ts"
import { type Signal, Topics } from "./Topics.ts"

export { type Signal, subscriberBufferMax } from "./Topics.ts"

/**
 * Fan-out of what just happened to whoever listens, in this process and in others. It may lose; it never blocks its
 * publisher and never fails it. Messages are plain JSON values. `layerLocal` for one process, `layerStore` over the
 * Store's publish and subscribe, which also hands local subscribers the value without a round trip.
 * Topics: `interaction:<uuid>`, `inbox:<user uuid>`, `queue`, `session`, `moderation`, `cache:<name>`.
 */
export class Broadcast extends Context.Tag("@connect/Broadcast")<
  Broadcast,
  {
    readonly publish: (topic: string, message: unknown) => Effect.Effect<void>
    /** Active when the Effect returns. `A` is what the publishers of this topic agreed on. */
    readonly subscribe: <A>(topic: string) => Effect.Effect<Stream.Stream<Signal<A>>, never, Scope.Scope>
  }
>() {}

const local = (topics: Topics): typeof Broadcast.Service => ({
  publish: (topic, message) => Effect.sync(() => topics.deliver(topic, message)),
  subscribe: <A>(topic: string) =>
    Effect.acquireRelease(
      Effect.sync(() => topics.add(topic)),
      (subscriber) => Effect.sync(() => topics.remove(topic, subscriber))
    ).pipe(Effect.map((subscriber) => subscriber.stream as Stream.Stream<Signal<A>>))
})

/** Within this process alone. */
export const layerLocal: Layer.Layer<Broadcast> = Layer.sync(Broadcast, () => local(new Topics()))

/**
 * To every process on the same Redis. Listeners here have the message at once, and once. On a store in memory there are
 * no other processes, and this is `layerLocal`.
 */
export const layerStore: Layer.Layer<Broadcast, never, Store> = Layer.scoped(
  Broadcast,
  Effect.gen(function* () {
    const store = yield* Store
    const topics = new Topics()
    const here = local(topics)
    if (store.backend === "memory") return here
    const relay = yield* Relay.make(store, topics)
    return {
      publish: (topic, message) => Effect.zipRight(here.publish(topic, message), relay.send(topic, message)),
      // Here first, so that what this process publishes meanwhile is not missed; the Effect returns when both stand.
      subscribe: <A>(topic: string) => Effect.zipLeft(here.subscribe<A>(topic), relay.listen(topic))
    }
  })
)
