import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Settings from "../../src/config/Settings.ts"
import { Database } from "../../src/database/Database.ts"
import type { Driver, DriverResult, Outcome } from "../../src/database/Driver.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import * as Deadline from "../../src/request/Deadline.ts"
import { it } from "../kit/effect.ts"

/** A database whose statements end when the test says so, and the tables that were told to be written. */
const setting = Effect.gen(function* () {
  const running: Array<(outcome: Outcome<DriverResult>) => void> = []
  const begun = yield* Deferred.make<void>()
  const driver: Driver = {
    name: "pg",
    connectionsMax: 10,
    depthMax: 1,
    connect: (done) =>
      done(
        Either.right({
          isOpen: () => true,
          close: () => {},
          run: (_, done) => {
            running.push(done)
            Deferred.unsafeDone(begun, Effect.void)
            return () => {}
          }
        })
      ),
    listen: () => () => {}
  }
  const { database } = yield* Settings.Settings
  const services = yield* Postgres.make({ backend: "postgres", driver, name: "none", settings: database })
  const told: Array<string> = []
  yield* Context.get(services, Database).onWritten((tables) => told.push(...tables))
  return {
    sql: Context.get(services, SqlClient.SqlClient),
    begun: Deferred.await(begun),
    /** The server did all of it. */
    end: () => {
      for (const done of running.splice(0)) done(Either.right({ rows: [], affected: 1 }))
    },
    told
  }
}).pipe(Effect.provide(Settings.layerTest()))

it("a write whose caller has left is told of when it ends: its cancel may have come too late", () =>
  Effect.gen(function* () {
    const { begun, end, sql, told } = yield* setting
    const writing = yield* Effect.fork(sql`update users set role = 1`)
    yield* begun
    yield* Fiber.interrupt(writing)
    expect(told).toEqual([])
    end()
    expect(told).toEqual(["users"])
  }))

it("so is one whose request has no time left", () =>
  Effect.gen(function* () {
    const { begun, end, sql, told } = yield* setting
    const writing = yield* Effect.fork(Deadline.locally(Effect.either(sql`update users set role = 1`), 50))
    yield* begun
    yield* TestClock.adjust("60 millis")
    expect(Either.isLeft(yield* Fiber.join(writing))).toBe(true)
    const before = told.length
    end()
    expect(told.length).toBe(before + 1)
  }))
