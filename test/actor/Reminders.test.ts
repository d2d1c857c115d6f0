import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Reminders from "../../src/actor/Reminders.ts"
import * as Supervised from "../../src/actor/Supervised.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const Alarm = Actor.make("Alarm", {
  protocol: [
    Rpc.make("Ring", { payload: { note: Schema.String } }),
    Rpc.make("Hush"),
    Rpc.make("Fail"),
    Rpc.make("Rung", { success: Schema.Array(Schema.String) })
  ]
})

const alarms = Alarm.toLayer(() =>
  Effect.sync(() => {
    const rung: Array<string> = []
    return {
      Ring: ({ note }) => Effect.sync(() => void rung.push(note)),
      Hush: () => Effect.sync(() => void rung.push("hush")),
      Fail: () => Effect.die("cannot ring"),
      Rung: () => Effect.succeed(rung)
    }
  })
)

const layer = alarms.pipe(
  Layer.provideMerge(Reminders.layer),
  Layer.provideMerge(ActorSystem.layerTest),
  Layer.provideMerge(Supervised.Registry.layer),
  Layer.provideMerge(Postgres.layerDatabase),
  Layer.provide(Logger.remove(Logger.defaultLogger))
)

/** Moves the reminder of this actor into the past, instead of waiting for it. */
const makeDue = (id: string) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      sql`update actor_reminders set due_at = due_at - interval '1 day', leased_until = '-infinity' where id = ${id}`
  )

const kept = (id: string) =>
  Effect.flatMap(Reminders.Reminders, ({ list }) =>
    Effect.map(list(100), (all) => all.filter((reminder) => reminder.id === id))
  )

const set = (id: string, name: string, when: Reminders.When, tag: string, payload?: unknown) =>
  Effect.flatMap(Reminders.Reminders, (reminders) => reminders.set(Alarm.definition, id, name, when, tag, payload))

const ring = (id: string, name: string, when: Reminders.When, note: string) => set(id, name, when, "Ring", { note })

const deliver = Effect.flatMap(Reminders.Reminders, (reminders) => reminders.deliver)

withLayer("in Postgres", layer, (it) => {
  it("a reminder is delivered once it is due, and then gone", () =>
    Effect.gen(function* () {
      const client = yield* Alarm.client
      yield* ring("a", "wake", { after: "1 hour" }, "up")
      yield* deliver
      expect(yield* client.ask("a").Rung()).toEqual([])
      yield* makeDue("a")
      yield* deliver
      expect(yield* client.ask("a").Rung()).toEqual(["up"])
      expect(yield* kept("a")).toEqual([])
    }))

  it("setting it again moves it, cancelling removes it", () =>
    Effect.gen(function* () {
      const later = new Date("2099-01-01T00:00:00Z")
      yield* ring("b", "wake", { after: "1 hour" }, "early")
      yield* ring("b", "wake", { at: later }, "late")
      expect((yield* kept("b")).map(({ dueAt }) => dueAt)).toEqual([later])
      yield* Effect.flatMap(Reminders.Reminders, ({ cancel }) => cancel(Alarm.definition, "b", "wake"))
      expect(yield* kept("b")).toEqual([])
    }))

  it("a repeated one comes back at its next time, without making up for the ones missed", () =>
    Effect.gen(function* () {
      const client = yield* Alarm.client
      yield* ring("c", "tick", { after: "1 minute", every: "1 hour" }, "tick")
      const [before] = yield* kept("c")
      yield* makeDue("c")
      yield* deliver
      expect(yield* client.ask("c").Rung()).toEqual(["tick"])
      const [after] = yield* kept("c")
      expect(after!.dueAt).toEqual(before!.dueAt)
    }))

  it("one whose time SQL wrote to the microsecond, and one that carries nothing, are delivered once too", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const client = yield* Alarm.client
      yield* set("e", "quiet", { at: new Date(0) }, "Hush")
      yield* sql`update actor_reminders set due_at = '2020-01-01 00:00:00.123456Z' where id = 'e'`
      yield* deliver
      expect(yield* client.ask("e").Rung()).toEqual(["hush"])
      expect(yield* kept("e")).toEqual([])
    }))

  it("one that fails is kept and tried again later", () =>
    Effect.gen(function* () {
      yield* set("d", "broken", { at: new Date(0) }, "Fail")
      yield* deliver
      expect(yield* kept("d")).toMatchObject([{ name: "broken", attempts: 1 }])
      yield* deliver
      expect(yield* kept("d")).toMatchObject([{ attempts: 1 }])
    }))

  it("two processes that look at the same time deliver each reminder once", () =>
    Effect.gen(function* () {
      const client = yield* Alarm.client
      const ids = Array.from({ length: 60 }, (_, i) => `many-${i}`)
      yield* Effect.forEach(ids, (id) => ring(id, "wake", { at: new Date(0) }, "up"), {
        concurrency: 10
      })
      yield* Effect.all([deliver, deliver, deliver], { concurrency: "unbounded" })
      const rung = yield* Effect.forEach(ids, (id) => client.ask(id).Rung())
      expect(rung).toEqual(ids.map(() => ["up"]))
    }))
})
