import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import { DatabaseUnavailable, errors } from "../../src/errors.ts"
import { InteractionActor } from "../../src/interaction/InteractionActor.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import * as Faults from "./Faults.ts"
import * as Talk from "./Talk.ts"

const dice = Faults.fair()
const layer = Layer.fresh(Talk.layerProcess.pipe(Layer.provide(Faults.layerBreaking(dice)))).pipe(
  Layer.provideMerge(Layer.merge(Postgres.layerDatabase, Broadcast.layerLocal))
)

withLayer("an interaction whose database fails", layer, (it) => {
  it("answers DatabaseUnavailable, and goes on without a hole once it is back", () =>
    Effect.gen(function* () {
      const { ada, id } = yield* Talk.between()
      const actor = (yield* InteractionActor.client).ask(id)
      const send = (n: number) => actor.Send({ userId: ada, clientKey: `k${n}`, body: `number ${n}`, state: "VISIBLE" })
      const first = yield* send(1)
      Object.assign(dice, { commitsLost: 1, next: () => 0.4 })
      expect(yield* Effect.flip(send(2))).toBeInstanceOf(DatabaseUnavailable)
      // This one is written, and only its answer is lost.
      Object.assign(dice, { next: () => 0.6 })
      expect(yield* Effect.flip(send(3))).toBeInstanceOf(DatabaseUnavailable)
      Object.assign(dice, { commitsLost: 0 })
      const again = yield* Effect.forEach([3, 2, 4, 1], send)
      expect(again.map(({ body, seq }) => [seq, body])).toEqual([
        [2, "number 3"],
        [3, "number 2"],
        [4, "number 4"],
        [1, "number 1"]
      ])
      expect(again[3]).toEqual(first)
    }))

  it("keeps every acknowledged message when Postgres ends its connections in mid-commit", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const talks = yield* Effect.replicateEffect(Talk.between(), 8)
      const client = yield* InteractionActor.client
      const killing = yield* sql`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`.pipe(
        Effect.ignore,
        Effect.repeat(Schedule.spaced("15 millis")),
        Effect.fork
      )
      const talking = Effect.forEach(
        talks,
        ({ ada, id }) =>
          Effect.gen(function* () {
            for (let n = 0; n < 15; n++) {
              const sent = client
                .ask(id)
                .Send({ userId: ada, clientKey: `k${n}`, body: `number ${n}`, state: "VISIBLE" })
              const message = yield* Effect.retry(sent, { while: (error) => errors[error._tag].retryable, times: 200 })
              expect(message.seq).toBe(n + 1)
            }
          }),
        { concurrency: "unbounded", discard: true }
      )
      yield* talking
      yield* Fiber.interrupt(killing)
      const stored = yield* Effect.retry(
        sql<{ readonly n: number; readonly last: number }>`
select count(*)::int as n, max(seq)::int as last from events group by interaction_id having count(*) > 4`,
        { times: 5 }
      )
      expect(stored.map(({ last, n }) => [n, last])).toEqual(talks.map(() => [15, 15]))
    }))
})
