import * as SqlClient from "@effect/sql/SqlClient"
import * as Array from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Supervised from "../actor/Supervised.ts"
import { enrol } from "../broadcast/enrol.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { UserId } from "../domain/Ids.ts"
import * as Uuid from "../domain/Uuid.ts"
import type { DatabaseUnavailable } from "../errors.ts"
import { Store } from "../store/Store.ts"
import { standing } from "./Blocks.ts"
import { awayAfterMillis, heartbeatMillis, parseLease, presenceKey, UserActor } from "./UserActor.ts"

/** OFFLINE without a live lease of a connection; IN_INTERACTION goes before AWAY. */
export type State = "ONLINE" | "AWAY" | "IN_INTERACTION" | "OFFLINE"

/** Presences read from the store at once. */
const readsAtOnce = 100
/** Reports under way at once. Those whose actor is in this process are over when they begin. */
const reportsAtOnce = 1_000
/** A heartbeat is spread over its time: thousands of actors in one turn would keep everybody else waiting. */
const beatsPerHeartbeat = 50
/** People whose signs of life wait to be told at most; what comes beyond is left to their next one. */
export const touchedMax = 10_000
/**
 * Reports that their actors have not taken by then, because they are moving to another node, are left to the next
 * heartbeat. One timer for all that are under way: one each would cost as much as the report.
 */
const reportsTimeout = "1 second"

/**
 * Who is there: the process of a socket tells the person's actor of it, and again at each heartbeat. All of it is told
 * by a fiber beside, so that nobody's request waits for an actor that may live on another node.
 */
export class Presence extends Context.Tag("@connect/Presence")<
  Presence,
  {
    /** The person is connected for as long as the scope lives. Call it once per socket. */
    readonly connected: (userId: UserId) => Effect.Effect<void, never, Scope.Scope>
    /** The person did something: no longer AWAY. */
    readonly touch: (userId: UserId) => Effect.Effect<void>
    /** The person is gone at once, whatever their sockets say; a socket that stays comes back with its next heartbeat. */
    readonly leave: (userId: UserId) => Effect.Effect<void>
    /** Everyone of `ids` as the viewer sees them: across a block, and with the store away, all are OFFLINE. */
    readonly of: (
      ids: ReadonlyArray<UserId>,
      viewerId: UserId | null
    ) => Effect.Effect<ReadonlyMap<UserId, State>, DatabaseUnavailable>
  }
>() {}

export const layer = Layer.scoped(
  Presence,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const store = yield* Store
    const actors = yield* UserActor.client
    const process = yield* Uuid.v7
    /** Sockets of this process by person; as many as there are sockets, which the HTTP server bounds. */
    const sockets = new Map<UserId, number>()
    /** Whom to report, and whether they did something. */
    const due = new Map<UserId, boolean>()
    /** Whose sign of life was told since the last heartbeat: one each is enough. */
    const touched = new Set<UserId>()
    const work = yield* Effect.makeLatch(false)

    const tell = (userId: UserId, active: boolean): void => {
      due.set(userId, active || due.get(userId) === true)
      work.unsafeOpen()
    }

    const report = ([userId, active]: readonly [UserId, boolean]) =>
      Effect.ignore(actors.tell(userId).Report({ process, sockets: sockets.get(userId) ?? 0, active }))

    const reporting = Effect.gen(function* () {
      yield* work.await
      work.unsafeClose()
      const all = Array.chunksOf(due, reportsAtOnce)
      due.clear()
      for (const some of all) {
        const reported = Effect.forEach(some, report, { concurrency: "unbounded", discard: true })
        yield* Effect.timeoutOption(reported, reportsTimeout)
      }
    })

    const heartbeat = Effect.gen(function* () {
      touched.clear()
      // Goes on to whoever comes meanwhile, so nobody waits for longer than one round.
      const all = sockets.keys()
      for (let beat = 1; beat <= beatsPerHeartbeat; beat++) {
        yield* Effect.sleep(heartbeatMillis / beatsPerHeartbeat)
        let left = beat === beatsPerHeartbeat ? Infinity : Math.ceil(sockets.size / beatsPerHeartbeat)
        while (left-- > 0) {
          const { done, value } = all.next()
          if (done) break
          tell(value, false)
        }
      }
    })

    const restart = {
      intensity: 10,
      window: "1 minute",
      backoff: { initial: "100 millis", max: "10 seconds" }
    } as const
    yield* Supervised.fork({ name: "presence reports", effect: Effect.forever(reporting), restart })
    yield* Supervised.fork({
      name: "presence heartbeat",
      effect: Effect.forever(heartbeat),
      restart
    })

    const connect = (userId: UserId): void => {
      sockets.set(userId, (sockets.get(userId) ?? 0) + 1)
      tell(userId, true)
    }

    const disconnect = (userId: UserId): void => {
      const left = (sockets.get(userId) ?? 1) - 1
      if (left === 0) sockets.delete(userId)
      else sockets.set(userId, left)
      tell(userId, false)
    }

    const touch = (userId: UserId) =>
      Effect.sync(() => {
        if (touched.size >= touchedMax || touched.has(userId)) return
        touched.add(userId)
        tell(userId, true)
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

    /** What the database says of those who are connected, in one statement. */
    const known = (ids: ReadonlyArray<UserId>, viewerId: UserId | null) =>
      ids.length === 0
        ? Effect.succeed([])
        : orUnavailable(sql<{ readonly id: UserId; readonly state: State }>`
            select distinct p.user_id as id, 'IN_INTERACTION' as state
            from participants p join interactions i on i.id = p.interaction_id
            where p.user_id = any(${ids}::uuid[]) and p.left_at is null and i.state = 0
            union all select id, 'OFFLINE' from (${standing(sql, viewerId, ids)}) as blocked`)

    return {
      connected: (userId) =>
        enrol(
          () => connect(userId),
          () => disconnect(userId)
        ),
      touch,
      leave: (userId) => Effect.ignore(actors.tell(userId).Leave({})),
      of: Effect.fn("Presence.of")(function* (ids, viewerId) {
        const now = yield* Clock.currentTimeMillis
        const states = new Map(
          yield* Effect.forEach(ids, (id) => Effect.map(read(id, now), (state) => [id, state] as const), {
            concurrency: readsAtOnce
          })
        )
        const rows = yield* known(
          ids.filter((id) => states.get(id) !== "OFFLINE"),
          viewerId
        )
        for (const { id, state } of rows) if (states.get(id) !== "OFFLINE") states.set(id, state)
        return states
      })
    }
  })
)
