import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Store } from "../store/Store.ts"
import { enrol } from "./enrol.ts"
import { Outlet } from "./Outlet.ts"
import * as Relay from "./Relay.ts"
import { type Heard, type Signal, Topics } from "./Topics.ts"

export { type Outlet, subscriberBufferMax } from "./Outlet.ts"
export { type Heard, type Signal } from "./Topics.ts"

/**
 * Fan-out of what just happened to whoever listens, in this process and in others. It may lose; it never blocks its
 * publisher and never fails it. Messages are plain JSON values. `layerLocal` for one process, `layerStore` over the
 * Store's publish and subscribe, which also hands local listeners the value without a round trip.
 * Topics: `interaction:<uuid>`, `inbox:<user uuid>`, `queue`, `session`, `moderation`, `cache:<name>`.
 */
export class Broadcast extends Context.Tag("@connect/Broadcast")<
  Broadcast,
  {
    readonly publish: (topic: string, message: unknown) => Effect.Effect<void>
    /** Active when the Effect returns, for as long as the scope. `A` is what the publishers of this topic agreed on. */
    readonly listen: <A>(topic: string, heard: Heard<A>) => Effect.Effect<void, never, Scope.Scope>
  }
>() {}

/** What comes on a topic from now on, kept until it is drained; `wake` is called when there is something. */
export const outlet = <A>(
  broadcast: typeof Broadcast.Service,
  topic: string,
  wake?: () => void
): Effect.Effect<Outlet<A>, never, Scope.Scope> =>
  Effect.suspend(() => {
    const made = new Outlet<A>(wake)
    return Effect.as(
      broadcast.listen<A>(topic, (signal) => made.offer(signal)),
      made
    )
  })

/** What comes on a topic from now on. Never ends by itself; one fiber reads it. */
export const signals = <A>(
  broadcast: typeof Broadcast.Service,
  topic: string
): Effect.Effect<Stream.Stream<Signal<A>>, never, Scope.Scope> =>
  Effect.map(outlet<A>(broadcast, topic), (from) =>
    Stream.flattenIterables(Stream.repeatEffect(Effect.suspend(() => from.take)))
  )

const local = (topics: Topics): typeof Broadcast.Service => ({
  publish: (topic, message) => Effect.sync(() => topics.deliver(topic, message)),
  listen: <A>(topic: string, heard: Heard<A>) =>
    enrol(
      () => topics.add(topic, heard as Heard<unknown>),
      () => topics.remove(topic, heard as Heard<unknown>)
    )
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
      listen: (topic, heard) => Effect.zipRight(here.listen(topic, heard), relay.listen(topic))
    }
  })
)
