import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Redis } from "ioredis"
import type { Delivery } from "../../src/store/Store.ts"

type Heard = (delivery: Delivery) => void

interface Channel {
  readonly name: string
  readonly listeners: Set<Heard>
  readonly waiting: Set<() => void>
  /** Redis has confirmed the subscription on the connection in use. */
  active: boolean
  /** Somebody was told that the subscription stands while it did not: a Gap is due when it does. */
  missed: boolean
}

/** Channels in one SUBSCRIBE. */
const batchMax = 500

/** A subscriber waits this long for Redis to confirm; after that it goes on and sees a Gap when Redis has. */
export const subscribeWaitMillis = 50

/** Between two tries when Redis did not confirm. */
const retryMillis = 100

/** How often the connection is asked whether it lives: a subscriber sends nothing, so it would not notice. */
const heartbeatMillis = 2_000

const gap: Delivery = { _tag: "Gap" }

/** The subscriptions of this process on one connection of their own, made again after each reconnect. */
export class RedisChannels {
  private readonly redis: Redis
  private readonly channels = new Map<string, Channel>()
  private readonly heartbeat: ReturnType<typeof setInterval>
  private pumping = false
  private closed = false

  constructor(redis: Redis) {
    this.redis = redis
    redis.on("message", (name: string, payload: string) => {
      for (const heard of this.channels.get(name)?.listeners ?? []) heard({ _tag: "Message", payload })
    })
    redis.on("ready", () => {
      for (const channel of this.channels.values()) {
        channel.active = false
        channel.missed = true
      }
      void this.pump()
    })
    this.heartbeat = setInterval(() => {
      if (redis.status === "ready") redis.ping().catch(() => redis.status === "ready" && redis.disconnect(true))
    }, heartbeatMillis)
    this.heartbeat.unref()
  }

  close(): void {
    this.closed = true
    clearInterval(this.heartbeat)
  }

  subscribe(name: string, heard: Heard): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.suspend(() => {
        const channel = this.channels.get(name) ?? this.open(name)
        channel.listeners.add(heard)
        return channel.active ? Effect.void : this.confirmed(channel)
      }),
      () => Effect.sync(() => this.leave(name, heard))
    )
  }

  private open(name: string): Channel {
    const channel = {
      name,
      listeners: new Set<Heard>(),
      waiting: new Set<() => void>(),
      active: false,
      missed: false
    }
    this.channels.set(name, channel)
    void this.pump()
    return channel
  }

  /** Inside an acquisition nothing can be interrupted, so the wait ends itself. */
  private confirmed(channel: Channel): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const done = () => {
        clearTimeout(timer)
        channel.waiting.delete(done)
        resume(Effect.void)
      }
      const timer = setTimeout(() => {
        channel.missed = true
        done()
      }, subscribeWaitMillis)
      channel.waiting.add(done)
    })
  }

  private leave(name: string, heard: Heard): void {
    const channel = this.channels.get(name)
    channel?.listeners.delete(heard)
    if (channel === undefined || channel.listeners.size > 0) return
    this.channels.delete(name)
    if (this.redis.status === "ready") this.redis.unsubscribe(name).catch(() => undefined)
  }

  private async pump(): Promise<void> {
    if (this.pumping) return
    this.pumping = true
    while (!this.closed && this.redis.status === "ready") {
      const batch = [...this.channels.values()].filter((channel) => !channel.active).slice(0, batchMax)
      if (batch.length === 0) break
      try {
        await this.redis.subscribe(...batch.map((channel) => channel.name))
        for (const channel of batch) this.confirm(channel)
      } catch {
        for (const channel of batch) channel.missed = true
        setTimeout(() => void this.pump(), retryMillis).unref()
        break
      }
    }
    this.pumping = false
  }

  private confirm(channel: Channel): void {
    channel.active = true
    if (channel.missed) for (const heard of channel.listeners) heard(gap)
    channel.missed = false
    for (const done of channel.waiting) done()
  }
}
