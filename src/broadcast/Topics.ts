import * as Metrics from "../telemetry/Metrics.ts"
import { Outlet } from "./Outlet.ts"

/** A message of the topic; or `Gap`: some may have been missed, so refill from the database. */
export type Signal<A> = { readonly _tag: "Message"; readonly message: A } | { readonly _tag: "Gap" }

/** Messages waiting for one subscriber; beyond that the oldest are dropped and the subscriber sees one `Gap`. */
export const subscriberBufferMax = 256

export type Subscriber = Outlet<Signal<unknown>>

const gap: Signal<never> = { _tag: "Gap" }

const noLabels: ReadonlyArray<never> = []

const dropped = () => Metrics.broadcastDropped.unsafeUpdate(1, noLabels)

/** Who listens to what in this process. */
export class Topics {
  private readonly byTopic = new Map<string, Set<Subscriber>>()

  deliver(topic: string, message: unknown): void {
    const subscribers = this.byTopic.get(topic)
    if (subscribers === undefined) return
    const signal = { _tag: "Message", message } as const
    for (const subscriber of subscribers) subscriber.offer(signal)
  }

  miss(topic: string): void {
    for (const subscriber of this.byTopic.get(topic) ?? []) subscriber.miss()
  }

  add(topic: string): Subscriber {
    const subscriber = new Outlet<Signal<unknown>>(subscriberBufferMax, gap, dropped)
    const subscribers = this.byTopic.get(topic)
    if (subscribers === undefined) this.byTopic.set(topic, new Set([subscriber]))
    else subscribers.add(subscriber)
    return subscriber
  }

  remove(topic: string, subscriber: Subscriber): void {
    const subscribers = this.byTopic.get(topic)
    subscribers?.delete(subscriber)
    if (subscribers?.size === 0) this.byTopic.delete(topic)
  }
}
