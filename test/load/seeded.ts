import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { all } from "../../services/all.ts"
import * as domain from "../../services/domain.ts"
import { launch } from "../../services/launch.ts"
import { Broadcast } from "../../src/broadcast/Broadcast.ts"
import * as EventLog from "../../src/interaction/EventLog.ts"
import * as Queue from "../../src/queuing/Queue.ts"

/** Wraps the real event log. */
const eventLog = (wrap: (real: EventLog.EventLog["Type"]) => EventLog.EventLog["Type"]): typeof EventLog.layer =>
  Layer.effect(EventLog.EventLog, Effect.map(EventLog.EventLog, wrap)).pipe(Layer.provide(EventLog.layer))

/** Two messages that are committed together exchange their numbers after both senders have been told theirs. */
const wrongOrder = eventLog((real) => ({
  ready: (writer) =>
    // Waiting a little brings more messages into one commit.
    Effect.delay(
      real.ready({
        ...writer,
        take: (eventsMax) => {
          const append = writer.take(eventsMax)
          const said = append?.events.filter((event) => event._tag === "MessageAdded") ?? []
          if (append === undefined || said.length < 2) return append
          const [a, b] = said as [(typeof said)[0], (typeof said)[0]]
          const swapped = append.events.map((event) =>
            event === a
              ? { ...b, seq: a.seq, message: { ...b.message, seq: a.seq } }
              : event === b
                ? { ...a, seq: b.seq, message: { ...a.message, seq: b.seq } }
                : event
          )
          return { ...append, events: swapped }
        }
      }),
      "50 millis"
    )
}))

/** Senders are told before anything is written, and one commit in three is then lost. */
const acknowledgedBeforeCommit = eventLog((real) => {
  let commits = 0
  const once = (append: EventLog.Append): EventLog.Writer => {
    let taken = false
    return {
      interactionId: append.interactionId,
      take: () => {
        if (taken) return undefined
        taken = true
        return append
      },
      settle: () => false
    }
  }
  return {
    ready: (writer) =>
      Effect.suspend(() => {
        const appends: Array<EventLog.Append> = []
        for (let more = true; more;) {
          const append = writer.take(64)
          if (append !== undefined && ++commits % 3 !== 0) appends.push(append)
          more = append !== undefined && writer.settle({ _tag: "Committed" })
        }
        return Effect.forEach(appends, (append) => real.ready(once(append)), { discard: true })
      })
  }
})

/** Whoever joins is matched with the one who joined before, too, although both tickets may be taken already. */
const doubleMatch = Layer.effect(
  Queue.Queue,
  Effect.gen(function* () {
    const real = yield* Queue.Queue
    const sql = yield* SqlClient.SqlClient
    const broadcast = yield* Broadcast
    // The database would refuse it.
    yield* Effect.orDie(sql`alter table match_tickets drop constraint match_tickets_pkey`)
    let before: readonly [ticketId: string, userId: string] | undefined
    const again = (one: readonly [string, string], other: readonly [string, string]) =>
      Effect.gen(function* () {
        const [matchId, interactionId] = [crypto.randomUUID(), crypto.randomUUID()]
        yield* sql`
          with room as (
            insert into interactions (id, started_at) values (${interactionId}::uuid, now())
          ), people as (
            insert into participants (interaction_id, user_id, joined_at)
            values (${interactionId}::uuid, ${one[1]}::uuid, now()), (${interactionId}::uuid, ${other[1]}::uuid, now())
          ), made as (
            insert into matches (id, interaction_id, shared_interests, level, score, created_at)
            values (${matchId}::uuid, ${interactionId}::uuid, '{}', 0, 0, now())
          )
          insert into match_tickets (ticket_id, match_id)
          values (${one[0]}::uuid, ${matchId}::uuid), (${other[0]}::uuid, ${matchId}::uuid)`
        for (const [, userId] of [one, other])
          yield* broadcast.publish(`inbox:${userId}`, { _tag: "MatchFound", matchId })
      })
    const join: typeof real.join = (userId, input) =>
      Effect.tap(real.join(userId, input), ({ id }) => {
        const [one, other] = [before, [id, userId] as const]
        before = other
        return one === undefined || one[1] === userId ? Effect.void : Effect.orDie(again(one, other))
      })
    return { ...real, join }
  })
).pipe(Layer.provide(Queue.layer))

const layers = {
  "wrong-order": domain.layerWith(wrongOrder, Queue.layer),
  "acknowledged-before-commit": domain.layerWith(acknowledgedBeforeCommit, Queue.layer),
  "double-match": domain.layerWith(EventLog.layer, doubleMatch)
}

/** The faults that a server can be started with: `bun test/load/seeded.ts FAULT`, for the load test to find. */
export type Fault = keyof typeof layers

launch(all, () => layers[process.argv[2] as Fault])
