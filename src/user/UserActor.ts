import * as Rpc from "@effect/rpc/Rpc"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Actor from "../actor/Actor.ts"
import * as Uuid from "../domain/Uuid.ts"
import { Store } from "../store/Store.ts"

/** A connection that is not renewed for this long is gone. */
export const leaseMillis = 30_000
/** How often the process of a connection renews it. */
export const heartbeatMillis = 10_000
/** Someone who comes back within this time was never away to others: a page that reloads, a network that changes. */
export const graceMillis = 5_000
/** Connected but silent for this long is AWAY. */
export const awayAfterMillis = 300_000
/** Connections counted per person; beyond that the one renewed longest ago is not counted. */
export const leasesMax = 64

/** The store's hash of a person's presence: one field per writer, `untilMillis:activeMillis`. */
export const presenceKey = (userId: string): string => `presence:${userId}`

export interface Lease {
  readonly untilMillis: number
  readonly activeMillis: number
}

export const parseLease = (text: string): Lease => {
  const [until, active] = text.split(":", 2)
  return { untilMillis: Number(until), activeMillis: Number(active) }
}

/**
 * A person's presence, with one writer: counts their connections and keeps the lease in the store that everyone reads.
 * It may be lost at any time; the next heartbeat of each connection builds it again.
 */
export const UserActor = Actor.make("User", {
  protocol: [
    Rpc.make("Renew", { payload: { leases: Schema.Array(Schema.String) } }),
    Rpc.make("Drop", { payload: { lease: Schema.String } }),
    Rpc.make("Touch"),
    Rpc.make("Leave")
  ],
  mailbox: { capacity: 256, whenFull: "fail" },
  supervision: {
    strategy: "restart",
    intensity: 5,
    window: "10 seconds",
    backoff: { initial: "50 millis", max: "5 seconds" }
  },
  idle: "2 minutes",
  askTimeout: "10 seconds"
})

const behaviour = (id: string) =>
  Effect.gen(function* () {
    const store = yield* Store
    /** Processes that run the same person's actor (without a cluster each does) write fields of their own. */
    const writer = yield* Uuid.v7
    /** When each lease ends, the one renewed longest ago first. */
    const leases = new Map<string, number>()
    let activeMillis = 0

    const publish = (untilMillis: number) =>
      Effect.ignore(
        store.hashSet(presenceKey(id), { [writer]: `${untilMillis}:${activeMillis}` }, `${leaseMillis} millis`)
      )

    const prune = (now: number) => {
      for (const [lease, until] of leases) {
        if (until <= now || leases.size > leasesMax) leases.delete(lease)
      }
    }

    return {
      Renew: (renewed: { readonly leases: ReadonlyArray<string> }) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          for (const lease of renewed.leases) {
            if (!leases.delete(lease)) activeMillis = now
            leases.set(lease, now + leaseMillis)
          }
          prune(now)
          return publish(now + leaseMillis)
        }),
      Drop: ({ lease }: { readonly lease: string }) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          prune(now)
          return leases.delete(lease) && leases.size === 0 ? publish(now + graceMillis) : Effect.void
        }),
      Touch: () =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          prune(now)
          // Only what can turn AWAY into ONLINE, or keeps it from falling, is worth a write.
          const worth = leases.size > 0 && now - activeMillis >= leaseMillis
          activeMillis = now
          return worth ? publish(Math.max(...leases.values())) : Effect.void
        }),
      Leave: () =>
        Effect.suspend(() => {
          leases.clear()
          return Effect.ignore(store.hashRemove(presenceKey(id), writer))
        })
    }
  })

export const layer = UserActor.toLayer(({ id }) => behaviour(id))
