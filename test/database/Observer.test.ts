import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schedule from "effect/Schedule"
import { Database } from "../../src/database/Database.ts"
import { counted } from "../../src/database/QueryCount.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

/** Runs on a database whose slow threshold is `millis`, and returns what was logged, with the annotations. */
const logged = (
  millis: number,
  queryLog: boolean,
  effect: Effect.Effect<void, unknown, SqlClient.SqlClient | Database>
): Effect.Effect<ReadonlyArray<string>, unknown> => {
  const lines: Array<string> = []
  const logger = Logger.make(({ annotations, logLevel, message }) => {
    lines.push(
      [logLevel.label, String(message), ...[...annotations].map(([key, value]) => `${key}=${String(value)}`)].join(" ")
    )
  })
  const layer = Postgres.layerWith((settings) => ({
    ...settings,
    slowQueryThreshold: Duration.millis(millis),
    queryLog
  }))
  return Effect.as(
    effect.pipe(
      Effect.provide(layer),
      Logger.withMinimumLogLevel(LogLevel.Debug),
      Effect.provide(Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(LogLevel.Debug)))
    ),
    lines
  )
}

it.live("a slow statement is logged and kept as its fingerprint, without its values", () =>
  Effect.gen(function* () {
    const lines = yield* logged(
      30,
      false,
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`select ${"top secret"}::text as a, 'hidden' as b, pg_sleep(${0.04})`
        const database = yield* Database
        const kept = (yield* database.slowQueries).at(-1)
        expect(kept?.fingerprint).toBe("select ?::text as a, ? as b, pg_sleep(?)")
        expect(kept?.durationMillis).toBeGreaterThanOrEqual(40)
        expect((yield* database.stats).slow).toBeGreaterThanOrEqual(1)
      })
    )
    const all = lines.join("\n")
    expect(all).toContain("WARN Slow query")
    expect(all).not.toMatch(/secret|hidden|0\.04/)
  })
)

it.live("a wait for a connection does not make a statement slow", () =>
  Effect.gen(function* () {
    const lines = yield* logged(
      250,
      false,
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* Effect.replicateEffect(sql`select pg_sleep(0.05)`, 60, { concurrency: "unbounded", discard: true })
      })
    )
    expect(lines.filter((line) => line.includes("pg_sleep"))).toEqual([])
  })
)

it.live("with the query log on each statement is a line at debug level", () =>
  Effect.gen(function* () {
    const lines = yield* logged(
      10_000,
      true,
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`select ${"private"}::text`
      })
    )
    const line = lines.find((text) => text.includes("select ?::text"))
    expect(line).toStartWith("DEBUG Query")
    expect(lines.join("\n")).not.toContain("private")
  })
)

it.live("the statements of one request are counted, those of its fibers too and those of others not", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const three = Effect.all([sql`select 1`, sql`select 2`, Effect.ignore(sql`select 1/0`)], { concurrency: 3 })
    const [[, mine], [, other]] = yield* Effect.all([counted(three), counted(sql`select 1`)], { concurrency: 2 })
    expect([mine.queries, other.queries]).toEqual([3, 1])
    expect(mine.millis).toBeGreaterThan(0)
  }).pipe(Effect.provide(Postgres.layerDatabase))
)

it.live("the plan of a slow statement is kept and logged once, without its values", () =>
  Effect.gen(function* () {
    const lines = yield* logged(
      250,
      false,
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const database = yield* Database
        const slow = sql`select handle, pg_sleep(0.3) from (values (1)) one(n) left join users on handle = ${"ada"}
                         where users.id is null or display_name <> ${"top secret"}`
        yield* slow
        yield* slow
        const planned = Effect.map(
          database.slowQueries,
          (all) => all.find(({ fingerprint, plan }) => plan !== null && fingerprint.includes("pg_sleep"))?.plan ?? null
        )
        yield* Effect.repeat(planned, { until: (found) => found !== null, schedule: Schedule.spaced(5) })
        const plan = yield* planned
        expect(plan).toMatch(/users/)
        expect(plan).toContain("$1")
      })
    )
    const logs = lines.filter((line) => line.includes("Plan of a slow query") && line.includes("pg_sleep"))
    expect(logs).toHaveLength(1)
    expect(logs.join()).not.toMatch(/secret|ada/)
  })
)
