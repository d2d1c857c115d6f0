import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import type { InteractionId } from "../../src/domain/Ids.ts"
import { idleReminder, InteractionActor } from "../../src/interaction/InteractionActor.ts"
import { Interactions } from "../../src/interaction/Interactions.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import * as Talk from "./Talk.ts"

const shared = Layer.merge(Postgres.layerDatabase, Broadcast.layerLocal)

/** A process of its own, which ends with `effect`: what is not in the database is gone with it. */
const inProcess = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, Layer.fresh(Talk.layerProcess))

const minute = 60_000

const minutesAgo = (minutes: number): Date => new Date(Date.now() - minutes * minute)

/** As a match sets it, due now. */
const due = (id: InteractionId) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`
      insert into actor_reminders (actor, id, name, tag, payload, due_at)
      values (${InteractionActor.name}, ${id}, ${idleReminder}, 'Expire', 'null', ${new Date()})`
  )

const dueAt = (id: InteractionId) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ readonly at: Date }>`select due_at as at from actor_reminders where id = ${id}`
    return row?.at.getTime()
  })

/** A process delivers what is due. */
const deliver = (id: InteractionId) =>
  Effect.repeat(dueAt(id), {
    until: (at) => at === undefined || at > Date.now(),
    schedule: Schedule.spaced("20 millis")
  })

const events = (id: InteractionId) =>
  Effect.flatMap(Interactions, (interactions) => interactions.events(id, 0)).pipe(inProcess)

withLayer("an interaction in which nobody writes", shared, (it) => {
  it("ends with TIMEOUT when its time has passed, also after a restart", () =>
    Effect.gen(function* () {
      const { id } = yield* Talk.between(undefined, minutesAgo(31))
      yield* due(id)
      yield* inProcess(deliver(id))
      expect(yield* events(id)).toMatchObject([{ seq: 1, _tag: "InteractionEnded", reason: "TIMEOUT" }])
      expect(yield* dueAt(id)).toBeUndefined()
      // Delivered once more, as may happen, it changes nothing.
      yield* due(id)
      yield* inProcess(deliver(id))
      expect(yield* events(id)).toHaveLength(1)
    }))

  it("goes on for that time after the last message, and is reminded again then", () =>
    Effect.gen(function* () {
      const { ada, id } = yield* Talk.between(undefined, minutesAgo(31))
      const message = yield* inProcess(
        Effect.gen(function* () {
          const actor = (yield* InteractionActor.client).ask(id)
          const sent = yield* actor.Send({ userId: ada, clientKey: "k", body: "still here", state: "VISIBLE" })
          yield* due(id)
          yield* deliver(id)
          return sent
        })
      )
      expect(yield* events(id)).toHaveLength(1)
      expect(yield* dueAt(id)).toBe(message.createdAt.getTime() + 30 * minute)
    }))
})
