import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Inbox from "../../src/actor/Inbox.ts"
import { attemptsMax } from "../../src/actor/durable/InboxRunner.ts"
import * as Reminders from "../../src/actor/Reminders.ts"
import * as States from "../../src/actor/States.ts"
import * as Supervised from "../../src/actor/Supervised.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

/** As the program of last year knows it. */
const Before = Actor.make("Ledger", {
  protocol: [Rpc.make("Add", { payload: { n: Schema.Int } }), Rpc.make("Break", { payload: { n: Schema.Int } })]
})

/** The same of today: cents instead of whole units, and a name that says so. */
const Ledger = Actor.make("Ledger", {
  protocol: [
    Rpc.make("Credit", { payload: { cents: Schema.Int }, success: Schema.Int }),
    Rpc.make("Total", { success: Schema.Int })
  ],
  messages: {
    migrations: [
      ({ payload, tag }) => {
        if (tag === "Break") throw new Error("nobody knows what it meant")
        return { tag: "Deposit", payload: { amount: (payload as { n: number }).n } }
      },
      ({ payload }) => ({ tag: "Credit", payload: { cents: (payload as { amount: number }).amount * 100 } })
    ]
  }
})

const After = Actor.make("Ledger", {
  protocol: [Rpc.make("Credit", { payload: { cents: Schema.Int, currency: Schema.String } })],
  messages: { migrations: [(old) => old, (old) => old, (old) => old] }
})

const ledgers = Ledger.toLayer(() =>
  Effect.sync(() => {
    let total = 0
    return {
      Credit: ({ cents }) => Effect.sync(() => (total += cents)),
      Total: () => Effect.sync(() => total)
    }
  })
)

const layer = ledgers.pipe(
  Layer.provideMerge(Layer.mergeAll(Inbox.layer, Reminders.layer)),
  Layer.provideMerge(Layer.mergeAll(ActorSystem.layerTest, Supervised.Registry.layer, States.layerSql)),
  Layer.provideMerge(Postgres.layerDatabase),
  Layer.provide(Logger.remove(Logger.defaultLogger))
)

const past = { at: new Date(0) }

withLayer("a program that knows three versions", layer, (it) => {
  it("handles a durable message of the first one in the words of today", () =>
    Effect.gen(function* () {
      yield* (yield* Inbox.of(Before)).tell("a", "1").Add({ n: 7 })
      const inbox = yield* Inbox.of(Ledger)
      expect(yield* inbox.ask("a", "2").Credit({ cents: 5 })).toBe(705)
    }))

  it("takes a message that is sent again after the change for the same one", () =>
    Effect.gen(function* () {
      yield* (yield* Inbox.of(Before)).tell("b", "1").Add({ n: 7 })
      const inbox = yield* Inbox.of(Ledger)
      expect(yield* inbox.ask("b", "1").Credit({ cents: 700 })).toBe(700)
    }))

  it("delivers a reminder of the first one in the words of today", () =>
    Effect.gen(function* () {
      const reminders = yield* Reminders.Reminders
      yield* reminders.set(Before.definition, "c", "payday", past, "Add", { n: 3 })
      yield* reminders.deliver
      expect(yield* (yield* Ledger.client).ask("c").Total()).toBe(300)
    }))

  it("quarantines a message that cannot be brought forward, and goes on with the others", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const service = yield* Inbox.Inbox
      const inbox = yield* Inbox.of(Ledger)
      yield* (yield* Inbox.of(Before)).tell("d", "1").Break({ n: 1 })
      for (let attempt = 1; attempt <= attemptsMax; attempt++) {
        expect(yield* inbox.ask("d", `after ${attempt}`).Credit({ cents: 1 })).toBeGreaterThan(0)
        yield* sql`update actor_messages set leased_until = '-infinity' where id = 'd' and state = 0`
        yield* service.recover
      }
      yield* inbox.ask("d", "last").Credit({ cents: 1 })
      expect(yield* service.quarantined).toMatchObject([{ id: "d", tag: "Break", attempts: attemptsMax }])
    }))

  it("leaves what a newer program has sent to that program", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const reminders = yield* Reminders.Reminders
      yield* (yield* Inbox.of(After)).tell("e", "1").Credit({ cents: 1, currency: "EUR" })
      yield* reminders.set(After.definition, "e", "payday", past, "Credit", { cents: 1, currency: "EUR" })
      yield* reminders.deliver
      expect(yield* (yield* Ledger.client).ask("e").Total()).toBe(0)
      expect(yield* sql`select state, attempts, schema_version from actor_messages where id = 'e'`).toEqual([
        { state: 0, attempts: 0, schema_version: 4 }
      ])
      expect(yield* sql`select attempts, schema_version from actor_reminders where id = 'e'`).toEqual([
        { attempts: 0, schema_version: 4 }
      ])
    }))
})
