import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { Outlet } from "./Outlet.ts"

/** A message of the topic; or `Gap`: some may have been missed, so refill from the database. */
export type Signal<A> = { readonly _tag: "Message"; readonly message: A } | { readonly _tag: "Gap" }

/** Messages waiting for one subscriber; beyond that the oldest are dropped and the subscriber sees one `Gap`. */
export const subscriberBufferMax = 256

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

const gap: Signal<never> = { _tag: "Gap" }

/** Who listens to what in this process. */
export class Topics {
  private readonly byTopic = new Map<string, Set<Outlet<Signal<unknown>>>>()

  deliver(topic: string, message: unknown): void {
    const outlets = this.byTopic.get(topic)
    if (outlets === undefined) return
    const signal = { _tag: "Message", message } as const
    for (const outlet of outlets) outlet.offer(signal)
  }

  miss(topic: string): void {
    for (const outlet of this.byTopic.get(topic) ?? []) outlet.miss()
  }

  /** True when the topic had no subscriber before. */
  add(topic: string, outlet: Outlet<Signal<unknown>>): boolean {
    const outlets = this.byTopic.get(topic)
    if (outlets === undefined) this.byTopic.set(topic, new Set([outlet]))
    else outlets.add(outlet)
    return outlets === undefined
  }

  /** True when that was the topic's last subscriber. */
  remove(topic: string, outlet: Outlet<Signal<unknown>>): boolean {
    const outlets = this.byTopic.get(topic)
    if (outlets === undefined || !outlets.delete(outlet) || outlets.size > 0) return false
    return this.byTopic.delete(topic)
  }
}

const make = Effect.sync(() => {
  const topics = new Topics()
  return Broadcast.of({
    publish: (topic, message) => Effect.sync(() => topics.deliver(topic, message)),
    subscribe: <A>(topic: string) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const outlet = new Outlet<Signal<unknown>>(subscriberBufferMax, gap)
          topics.add(topic, outlet)
          return outlet
        }),
        (outlet) => Effect.sync(() => topics.remove(topic, outlet))
      ).pipe(Effect.map((outlet) => outlet.stream as Stream.Stream<Signal<A>>))
  })
})

/** Within this process alone. */
export const layerLocal: Layer.Layer<Broadcast> = Layer.effect(Broadcast, make)
