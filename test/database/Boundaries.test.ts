import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as LazyTransaction from "../../src/actor/durable/LazyTransaction.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Database } from "../../src/database/Database.ts"
import type { Driver, DriverResult, Outcome } from "../../src/database/Driver.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import { orUnavailable } from "../../src/database/SqlErrors.ts"
import { it } from "../kit/effect.ts"

const done: Outcome<DriverResult> = Either.right({ rows: [], affected: 0 })
const lost: Outcome<DriverResult> = Either.left(
  new SqlError({ message: "gone", cause: Object.assign(new Error("gone"), { code: "ECONNRESET" }) })
)

/** A server that gives these statements their outcome, or none before `answer` where that is undefined; others succeed. */
const serverThat = (outcomes: Readonly<Record<string, Outcome<DriverResult> | undefined>>) =>
  Effect.gen(function* () {
    let closed = 0
    const asked: Array<string> = []
    const silent: Array<() => void> = []
    const driver: Driver = {
      name: "pg",
      connectionsMax: 10,
      depthMax: 1,
      connect: (connected) =>
        connected(
          Either.right({
            isOpen: () => true,
            close: () => closed++,
            run: ({ sql }, answer) => {
              asked.push(sql)
              const outcome = sql in outcomes ? outcomes[sql] : done
              if (outcome === undefined) silent.push(() => answer(done))
              else answer(outcome)
              return () => {}
            }
          })
        ),
      listen: () => () => {}
    }
    const { database } = yield* Settings.Settings
    const services = yield* Postgres.make({ backend: "postgres", driver, name: "none", settings: database })
    return {
      sql: Context.get(services, SqlClient.SqlClient),
      inUse: Effect.map(Context.get(services, Database).stats, ({ pool }) => pool.inUse),
      closed: () => closed,
      asked,
      answer: () => silent.splice(0).forEach((answer) => answer()),
      queryTimeout: database.queryTimeout
    }
  }).pipe(Effect.provide(Settings.layerTest()))

for (const silent of ["COMMIT", "ROLLBACK TO SAVEPOINT connect_1"])
  it(`a server that does not answer a ${silent} holds the transaction no longer than a statement may take`, () =>
    Effect.gen(function* () {
      const { closed, inUse, queryTimeout, sql } = yield* serverThat({ [silent]: undefined })
      const body: Effect.Effect<unknown, string> = silent.startsWith("ROLLBACK") ? Effect.fail("no") : Effect.void
      const transaction = sql.withTransaction(sql.withTransaction(body))
      const running = yield* Effect.fork(Effect.flip(orUnavailable(transaction)))
      yield* TestClock.adjust(queryTimeout)
      expect(yield* Fiber.join(running)).toMatchObject({ _tag: "DatabaseUnavailable" })
      // The connection may be in a transaction still.
      yield* TestClock.adjust("6 seconds")
      expect([yield* inUse, closed()]).toEqual([0, 1])
    }))

it("a transaction that fails stays that failure when the connection is lost in its ROLLBACK, and none is reused", () =>
  Effect.gen(function* () {
    const { closed, inUse, sql } = yield* serverThat({ ROLLBACK: lost })
    expect(yield* Effect.flip(sql.withTransaction(Effect.fail("no")))).toBe("no")
    expect([yield* inUse, closed()]).toEqual([0, 1])
  }))

const begins: Readonly<Record<string, (sql: SqlClient.SqlClient) => Effect.Effect<unknown, SqlError>>> = {
  BEGIN: (sql) => sql.withTransaction(sql`select 1`),
  "BEGIN READ ONLY": (sql) => Stream.runDrain(sql`select 1`.stream)
}

for (const [begin, asks] of Object.entries(begins))
  it(`who waits for a ${begin} can be interrupted while the server says nothing`, () =>
    Effect.gen(function* () {
      const { asked, closed, inUse, sql } = yield* serverThat({ [begin]: undefined })
      const running = yield* Effect.fork(asks(sql))
      while (asked.length === 0) yield* Effect.yieldNow()
      yield* Fiber.interrupt(running)
      yield* TestClock.adjust("6 seconds")
      expect([asked, yield* inUse, closed()]).toEqual([[begin], 0, 1])
    }))

it("two that begin a part of one transaction at once are both let go", () =>
  Effect.gen(function* () {
    const { queryTimeout, sql } = yield* serverThat({ "SAVEPOINT connect_1": undefined })
    const part = sql.withTransaction(Effect.void)
    const both = Effect.all([part, part], { concurrency: "unbounded" })
    const running = yield* Effect.fork(Effect.flip(orUnavailable(sql.withTransaction(both))))
    // The beginning, and then its undoing.
    yield* TestClock.adjust(queryTimeout)
    yield* TestClock.adjust(queryTimeout)
    expect(yield* Fiber.join(running)).toMatchObject({ _tag: "DatabaseUnavailable" })
  }))

it("a connection that is given back while it begins a transaction is not used again, though it has begun", () =>
  Effect.gen(function* () {
    const { answer, closed, inUse, sql } = yield* serverThat({ begin: undefined })
    const begin = Effect.flatMap(sql.reserve, (connection) => connection.executeUnprepared("begin", [], undefined))
    const running = yield* Effect.fork(Effect.scoped(begin))
    yield* Effect.yieldNow()
    yield* Fiber.interrupt(running)
    answer()
    expect([yield* inUse, closed()]).toEqual([0, 1])
  }))

it("a connection whose commit was never sent is not used again, though what was ahead of it has ended", () =>
  Effect.gen(function* () {
    const { answer, asked, closed, inUse, queryTimeout, sql } = yield* serverThat({ "select 1": undefined })
    const left = Effect.zipRight(Effect.forkDaemon(sql`select 1`), Effect.yieldNow())
    const running = yield* Effect.fork(Effect.flip(sql.withTransaction(left)))
    yield* TestClock.adjust(queryTimeout)
    yield* Fiber.join(running)
    answer()
    expect(asked).toEqual(["BEGIN", "select 1"])
    expect([yield* inUse, closed()]).toEqual([0, 1])
  }))

it("a statement whose transaction is over fails: its connection is with others", () =>
  Effect.gen(function* () {
    const { asked, sql } = yield* serverThat({})
    const after = yield* sql.withTransaction(
      Effect.contextWith((within: Context.Context<never>) => Effect.provide(sql`select 1`, within))
    )
    expect((yield* Effect.flip(after)).message).toContain("is over")
    expect(asked).toEqual(["BEGIN", "COMMIT"])
  }))

for (const traced of [true, false])
  it(`a statement runs on the connection that stands in for the client's own, ${traced ? "" : "not "}traced`, () =>
    Effect.gen(function* () {
      const { asked, sql } = yield* serverThat({})
      yield* LazyTransaction.run(sql, ({ join }) => join(sql`select 1`))
      expect(asked).toEqual(["begin", "select 1", "commit"])
    }).pipe(Effect.withTracerEnabled(traced)))
