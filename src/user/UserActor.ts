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
/** Processes counted per person; beyond that the one heard of longest ago is not counted. */
export const processesMax = 64

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
 * A person's presence, with one writer: knows which processes have sockets of theirs and keeps the lease in the store
 * that everyone reads. It may be lost at any time; the next heartbeat of each process builds it again.
 */
export const UserActor = Actor.make("User", {
  protocol: [
    /** How many sockets of the person a process has now, and whether they did something since it said so last. */
    Rpc.make("Report", {
      payload: { process: Schema.String, sockets: Schema.Int, active: Schema.Boolean }
    }).annotate(Actor.Idempotent, true),
    Rpc.make("Leave").annotate(Actor.Idempotent, true)
  ],
  group: "user",
  mailbox: { capacity: 256 }
})

/** What a process says of a person. */
interface Report {
  readonly process: string
  readonly sockets: number
  readonly active: boolean
}

const behaviour = (id: string) =>
  Effect.gen(function* () {
    const store = yield* Store
    /** Processes that run the same person's actor (without a cluster each does) write fields of their own. */
    const writer = yield* Uuid.v7
    /** Until when each process vouches for a socket, the one heard of longest ago first. */
    const processes = new Map<string, number>()
    let activeMillis = 0

    const publish = (untilMillis: number) =>
      Effect.ignore(
        store.hashSet(presenceKey(id), { [writer]: `${untilMillis}:${activeMillis}` }, `${leaseMillis} millis`)
      )

    const prune = (now: number) => {
      for (const [process, until] of processes) {
        if (until <= now || processes.size > processesMax) processes.delete(process)
      }
    }

    return {
      Report: ({ active, process, sockets }: Report) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          // Only what can turn AWAY into ONLINE, or keeps it from falling, is worth a write.
          const worth = active && now - activeMillis >= leaseMillis
          if (active) activeMillis = now
          const had = processes.delete(process)
          if (sockets > 0) processes.set(process, now + leaseMillis)
          prune(now)
          if (sockets > 0) return publish(now + leaseMillis)
          if (processes.size > 0) return worth ? publish(Math.max(...processes.values())) : Effect.void
          return had ? publish(now + graceMillis) : Effect.void
        }),
      Leave: () =>
        Effect.suspend(() => {
          processes.clear()
          return Effect.ignore(store.hashRemove(presenceKey(id), writer))
        })
    }
  })

export const layer = UserActor.toLayer(({ id }) => behaviour(id))
