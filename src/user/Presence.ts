import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { UserId } from "../domain/Ids.ts"
import * as Uuid from "../domain/Uuid.ts"
import type { DatabaseUnavailable } from "../errors.ts"
import { Store } from "../store/Store.ts"
import { awayAfterMillis, heartbeatMillis, parseLease, presenceKey, UserActor } from "./UserActor.ts"

/** OFFLINE without a live lease of a connection; IN_INTERACTION goes before AWAY. */
export type State = "ONLINE" | "AWAY" | "IN_INTERACTION" | "OFFLINE"

/** Presences read from the store at once. */
const readsAtOnce = 100

/** Who is there: a lease per connected socket, kept by the person's actor and renewed by the process of the socket. */
export class Presence extends Context.Tag("@connect/Presence")<
  Presence,
  {
    /** The person is connected for as long as the scope lives. Call it once per socket. */
    readonly connected: (userId: UserId) => Effect.Effect<void, never, Scope.Scope>
    /** The person did something: no longer AWAY. */
    readonly touch: (userId: UserId) => Effect.Effect<void>
    /** The person is gone at once, whatever their sockets say; a socket that stays comes back with its next heartbeat. */
    readonly leave: (userId: UserId) => Effect.Effect<void>
    /** Everyone of `ids`. With the store away all are OFFLINE. */
    readonly of: (ids: ReadonlyArray<UserId>) => Effect.Effect<ReadonlyMap<UserId, State>, DatabaseUnavailable>
  }
>() {}

export const layer = Layer.scoped(
  Presence,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const store = yield* Store
    const actors = yield* UserActor.client
    /** Leases of this process by person. As many as there are sockets, which the HTTP server bounds. */
    const leases = new Map<UserId, Set<string>>()

    // A message that an actor does not take is made up for by the next heartbeat.
    const renew = (userId: UserId, ids: ReadonlyArray<string>) =>
      Effect.ignore(actors.tell(userId).Renew({ leases: ids }))

    yield* Effect.suspend(() =>
      Effect.forEach([...leases], ([userId, ids]) => renew(userId, [...ids]), { discard: true })
    ).pipe(Effect.repeat(Schedule.spaced(heartbeatMillis)), Effect.forkScoped)

    const connect = (userId: UserId) =>
      Effect.gen(function* () {
        const lease = yield* Uuid.v7
        const own = leases.get(userId) ?? new Set()
        leases.set(userId, own.add(lease))
        yield* renew(userId, [lease])
        return lease
      })

    const disconnect = (userId: UserId, lease: string) =>
      Effect.suspend(() => {
        const own = leases.get(userId)
        own?.delete(lease)
        if (own?.size === 0) leases.delete(userId)
        return Effect.ignore(actors.tell(userId).Drop({ lease }))
      })

    const read = (userId: UserId, nowMillis: number): Effect.Effect<State> =>
      Effect.map(
        Effect.orElseSucceed(store.hashGetAll(presenceKey(userId)), () => ({})),
        (fields) => {
          const live = Object.values<string>(fields)
            .map(parseLease)
            .filter((lease) => lease.untilMillis > nowMillis)
          if (live.length === 0) return "OFFLINE"
          return live.some((lease) => nowMillis - lease.activeMillis < awayAfterMillis) ? "ONLINE" : "AWAY"
        }
      )

    const talking = (ids: ReadonlyArray<UserId>) =>
      ids.length === 0
        ? Effect.succeed(new Set<string>())
        : sql<{ readonly id: string }>`
            select distinct p.user_id as id from participants p join interactions i on i.id = p.interaction_id
            where p.user_id = any(${ids}::uuid[]) and p.left_at is null and i.state = 0`.pipe(
            Effect.map((rows) => new Set(rows.map((row) => row.id))),
            orUnavailable
          )

    return {
      connected: (userId) =>
        Effect.asVoid(Effect.acquireRelease(connect(userId), (lease) => disconnect(userId, lease))),
      touch: (userId) => Effect.ignore(actors.tell(userId).Touch({})),
      leave: (userId) => Effect.ignore(actors.tell(userId).Leave({})),
      of: Effect.fn("Presence.of")(function* (ids) {
        const now = yield* Clock.currentTimeMillis
        const states = new Map(
          yield* Effect.forEach(ids, (id) => Effect.map(read(id, now), (state) => [id, state] as const), {
            concurrency: readsAtOnce
          })
        )
        const busy = yield* talking(ids.filter((id) => states.get(id) !== "OFFLINE"))
        for (const id of ids) if (busy.has(id)) states.set(id, "IN_INTERACTION")
        return states
      })
    }
  })
)
