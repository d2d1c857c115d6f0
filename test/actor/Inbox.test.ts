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
import * as States from "../../src/actor/States.ts"
import * as Supervised from "../../src/actor/Supervised.ts"
import { orUnavailable } from "../../src/database/SqlErrors.ts"
import { Conflict } from "../../src/errors.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const Account = Actor.make("Account", {
  protocol: [
    Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int, error: Conflict }),
    Rpc.make("Poison", { payload: { note: Schema.String } }),
    Rpc.make("Balance", { success: Schema.Int })
  ],
  state: { schema: Schema.Struct({ n: Schema.Int }), initial: { n: 0 } }
})

/** Whether Poison fails. */
let poisonous = true

const accounts = Account.toLayer(({ state }) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return {
      Add: ({ amount }) =>
        amount < 0
          ? Effect.fail(new Conflict({ message: "negative" }))
          : Effect.map(Effect.orDie(state.update(({ n }) => ({ n: n + amount }))), ({ n }) => n),
      Poison: ({ note }) =>
        Effect.gen(function* () {
          yield* sql`insert into settings values (${note}, 'written')`
          yield* state.update(({ n }) => ({ n: n + 1_000 }))
          if (poisonous) return yield* Effect.dieMessage("poison")
        }).pipe(orUnavailable, Effect.orDie),
      Balance: () => Effect.sync(() => state.current.n)
    }
  })
)

const layer = accounts.pipe(
  Layer.provideMerge(Inbox.layer),
  Layer.provideMerge(Layer.mergeAll(ActorSystem.layerTest, Supervised.Registry.layer, States.layerSql)),
  Layer.provideMerge(Postgres.layerDatabase),
  Layer.provide(Logger.remove(Logger.defaultLogger))
)

const stateOf = (id: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(sql<{ state: number }>`select state from actor_messages where id = ${id} order by position`, (rows) =>
      rows.map(({ state }) => state)
    )
  )

const recovered = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const inbox = yield* Inbox.Inbox
  yield* sql`update actor_messages set leased_until = '-infinity' where state = 0`
  yield* inbox.recover
})

withLayer("in Postgres", layer, (it) => {
  it("a message is answered, and one with the same key gets the same answer and does nothing", () =>
    Effect.gen(function* () {
      const inbox = yield* Inbox.of(Account)
      const client = yield* Account.client
      expect(yield* inbox.ask("a", "1").Add({ amount: 5 })).toBe(5)
      expect(yield* inbox.ask("a", "1").Add({ amount: 5 })).toBe(5)
      expect(yield* inbox.ask("a", "2").Add({ amount: 5 })).toBe(10)
      expect(yield* client.ask("a").Balance()).toBe(10)
      expect((yield* Effect.flip(inbox.ask("a", "1").Add({ amount: 6 })))._tag).toBe("Conflict")
    }))

  it("a typed failure is an answer like another", () =>
    Effect.gen(function* () {
      const inbox = yield* Inbox.of(Account)
      const failure = { _tag: "Conflict", message: "negative" }
      expect(yield* Effect.flip(inbox.ask("b", "1").Add({ amount: -1 }))).toMatchObject(failure)
      expect(yield* Effect.flip(inbox.ask("b", "1").Add({ amount: -1 }))).toMatchObject(failure)
      expect(yield* stateOf("b")).toEqual([1])
    }))

  it("the same key at the same time is one message", () =>
    Effect.gen(function* () {
      const inbox = yield* Inbox.of(Account)
      const asks = Array.from({ length: 20 }, () => inbox.ask("c", "same").Add({ amount: 1 }))
      expect(yield* Effect.all(asks, { concurrency: "unbounded" })).toEqual(Array(20).fill(1))
    }))

  it("many that come together share transactions, and each has its effect once", () =>
    Effect.gen(function* () {
      const inbox = yield* Inbox.of(Account)
      const client = yield* Account.client
      const asks = Array.from({ length: 400 }, (_, i) => inbox.ask(`many-${i % 20}`, `${i}`).Add({ amount: 1 }))
      yield* Effect.all(asks, { concurrency: "unbounded" })
      const balances = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => i),
        (i) => client.ask(`many-${i}`).Balance()
      )
      expect(balances).toEqual(Array(20).fill(20))
    }))

  it("a poison message is answered at once, undone as a whole and quarantined after its attempts", () =>
    Effect.gen(function* () {
      const inbox = yield* Inbox.of(Account)
      const service = yield* Inbox.Inbox
      const client = yield* Account.client
      const sql = yield* SqlClient.SqlClient
      poisonous = true
      yield* inbox.ask("d", "1").Add({ amount: 1 })
      const asks = yield* Effect.all(
        [
          Effect.flip(inbox.ask("d", "2").Poison({ note: "d" })),
          inbox.ask("d", "3").Add({ amount: 1 }),
          inbox.ask("e", "1").Add({ amount: 1 })
        ],
        { concurrency: "unbounded" }
      )
      expect(asks[0]._tag).toBe("ActorCrashed")
      expect(asks.slice(1)).toEqual([2, 1])
      for (let attempt = 0; attempt < 3; attempt++) {
        yield* recovered
        yield* inbox.ask("d", `after-${attempt}`).Add({ amount: 0 })
      }
      expect(yield* sql`select 1 from settings where key = 'd'`).toEqual([])
      expect(yield* client.ask("d").Balance()).toBe(2)
      const [letter] = yield* service.quarantined
      expect(letter).toMatchObject({ actor: "Account", id: "d", tag: "Poison", attempts: 3 })
      poisonous = false
      expect(yield* service.release(letter!.position)).toBe(true)
      yield* recovered
      yield* inbox.ask("d", "last").Add({ amount: 0 })
      expect(yield* client.ask("d").Balance()).toBe(1_002)
      expect(yield* sql`select 1 from settings where key = 'd'`).toHaveLength(1)
    }))

  it("what a process that has gone left behind is taken up", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const inbox = yield* Inbox.of(Account)
      yield* sql`
        insert into actor_messages (actor, id, key, tag, payload, leased_until, accepted_at)
        values ('Account', 'f', '1', 'Add', '{"amount":7}', '-infinity', now())`
      yield* recovered
      expect(yield* inbox.ask("f", "1").Add({ amount: 7 })).toBe(7)
    }))

  it("the one that was told is handled without anybody waiting", () =>
    Effect.gen(function* () {
      const inbox = yield* Inbox.of(Account)
      yield* inbox.tell("g", "1").Add({ amount: 3 })
      expect(yield* inbox.ask("g", "2").Add({ amount: 0 })).toBe(3)
    }))
})
