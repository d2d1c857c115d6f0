import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import Pg from "pg"
import * as DatabaseLayer from "../../../layers/Database.ts"
import * as Settings from "../../../src/config/Settings.ts"
import { Database } from "../../../src/database/Database.ts"
import * as Pool from "../../../src/database/Pool.ts"
import { orUnavailable } from "../../../src/database/SqlErrors.ts"
import * as Deadline from "../../../src/request/Deadline.ts"
import { withLayer } from "../../kit/effect.ts"
import * as FragilePostgres from "../../kit/FragilePostgres.ts"
import { until } from "./contract/SqlTest.ts"

/** Of eight connections, so that they can run out. */
class Server extends Context.Tag("test/faults/Server")<Server, FragilePostgres.FragilePostgres>() {
  static readonly layer = Layer.scoped(
    Server,
    FragilePostgres.make({ max_connections: "8", superuser_reserved_connections: "0" })
  )
}

interface Faults {
  readonly title: string
  readonly body: (
    server: FragilePostgres.FragilePostgres,
    sql: SqlClient.SqlClient
  ) => Effect.Effect<unknown, unknown, Database | Scope.Scope>
}

const faults: Array<Faults> = []
const faultTest = (title: string, body: Faults["body"]) => faults.push({ title, body })

/** A database of the driver's own on that server, which the test leaves running. */
const run = (driver: "bun" | "pg", { body }: Faults) =>
  Effect.gen(function* () {
    const server = yield* Server
    const { database } = yield* Effect.provide(Settings.Settings, Settings.layerTest())
    // Nothing is slow: the plan of a slow one would be asked for, on a connection that the test counts on.
    const settings = { ...database, driver, poolMax: 10, poolMin: 0, slowQueryThreshold: Duration.minutes(1) }
    // The server may still hold the connections of the test before, which left while it did not answer.
    const services = yield* DatabaseLayer.connect({ url: Redacted.make(server.url) }, settings).pipe(
      Effect.retry(Schedule.intersect(Schedule.spaced("50 millis"), Schedule.recurs(40)))
    )
    yield* Effect.provide(
      Effect.flatMap(SqlClient.SqlClient, (sql) => body(server, sql)),
      services
    )
  })

/** How it ended, and after how long. A failure that is not DatabaseUnavailable is a defect and fails the test. */
const ending = <A>(effect: Effect.Effect<A, unknown>) =>
  Effect.timed(Effect.either(orUnavailable(effect as Effect.Effect<A>))).pipe(
    Effect.map(([took, end]) => ({ millis: Duration.toMillis(took), end: end._tag }))
  )

/** Somebody else's connection, as soon as there is one to be had. */
const occupant = (url: string) =>
  Effect.acquireRelease(
    Effect.tryPromise(async () => {
      const client = new Pg.Client(url)
      client.on("error", () => {})
      await client.connect()
      return client
    }).pipe(Effect.retry(Schedule.intersect(Schedule.spaced("10 millis"), Schedule.recurs(200)))),
    (client) => Effect.promise(() => client.end())
  )

const works = (sql: SqlClient.SqlClient) => until(ending(sql`select 1`), ({ end }) => end === "Right")

const acquireSoon = Pool.acquireMillisMax + 1_000

faultTest(
  "killed, everyone fails at once with a typed error, and it works again when the server is back",
  (server, sql) =>
    Effect.gen(function* () {
      const database = yield* Database
      const before = yield* database.stats
      const inFlight = yield* Effect.fork(
        Effect.all(
          [
            ending(sql`select pg_sleep(20)`),
            ending(sql.withTransaction(Effect.zipRight(sql`create table half (n int)`, sql`select pg_sleep(20)`)))
          ],
          { concurrency: "unbounded" }
        )
      )
      yield* until(
        sql`select count(*)::int as n from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'`,
        ([row]) => row?.["n"] === 2
      )
      yield* server.kill
      expect((yield* Fiber.join(inFlight)).map(({ end }) => end)).toEqual(["Left", "Left"])
      const away = yield* Effect.replicateEffect(ending(sql`select 1`), 20, { concurrency: "unbounded" })
      expect(new Set(away.map(({ end }) => end))).toEqual(new Set(["Left"]))
      expect(Math.max(...away.map(({ millis }) => millis))).toBeLessThan(1_000)
      expect((yield* database.stats).failures - before.failures).toBeGreaterThanOrEqual(22)
      yield* server.start
      yield* works(sql)
      expect(yield* sql`select to_regclass('half') as t`).toEqual([{ t: null }])
      expect((yield* database.stats).pool.waiting).toBe(0)
    })
)

faultTest("restarted under load, callers get an answer or a typed error, and none waits for long", (server, sql) =>
  Effect.gen(function* () {
    const over = yield* Deferred.make<void>()
    const longest = yield* Effect.fork(
      Effect.replicateEffect(
        Effect.gen(function* () {
          let [longest, failures] = [0, 0]
          while (!(yield* Deferred.isDone(over))) {
            const { end, millis } = yield* ending(sql`select count(*) from users`)
            longest = Math.max(longest, millis)
            if (end === "Left") failures++
            yield* Effect.sleep("1 millis")
          }
          return { longest, failures }
        }),
        20,
        { concurrency: "unbounded" }
      )
    )
    yield* Effect.sleep("100 millis")
    yield* server.stop
    yield* Effect.sleep("200 millis")
    yield* server.start
    yield* works(sql)
    yield* Deferred.succeed(over, undefined)
    const seen = yield* Fiber.join(longest)
    expect(Math.min(...seen.map(({ failures }) => failures))).toBeGreaterThan(0)
    expect(Math.max(...seen.map((one) => one.longest))).toBeLessThan(acquireSoon)
  })
)

faultTest("out of connections, those that it has serve everyone, and none at all is a typed error", (server, sql) =>
  Effect.gen(function* () {
    const database = yield* Database
    const others = yield* Effect.replicateEffect(occupant(server.url), 6)
    const answers = yield* Effect.replicateEffect(ending(sql`select pg_sleep(0.01)`), 40, {
      concurrency: "unbounded"
    })
    expect(new Set(answers.map(({ end }) => end))).toEqual(new Set(["Right"]))
    expect((yield* database.stats).pool.open).toBeLessThanOrEqual(2)
    // Others take the places of ours.
    yield* Effect.promise(() =>
      others[0]!.query(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'realtime-connect'"
      )
    )
    const more = yield* Effect.replicateEffect(occupant(server.url), 2)
    const refused = yield* Effect.replicateEffect(ending(sql`select 1`), 20, { concurrency: "unbounded" })
    expect(new Set(refused.map(({ end }) => end))).toEqual(new Set(["Left"]))
    expect(Math.max(...refused.map(({ millis }) => millis))).toBeLessThan(2_000)
    yield* Effect.promise(() => Promise.all(more.map((other) => other.end())))
    yield* works(sql)
  })
)

faultTest("a server that stops answering holds nobody beyond a request's time", (server, sql) =>
  Effect.gen(function* () {
    const database = yield* Database
    yield* sql`select 1`
    yield* server.pause
    const now = yield* Clock.currentTimeMillis
    const asked = [
      ...Array.from({ length: 30 }, () => sql`select 1`),
      sql.withTransaction(sql`select 1`),
      sql.withTransaction(sql.withTransaction(sql`select 1`)),
      Effect.timeout(Stream.runDrain(sql`select 1`.stream), "300 millis")
    ]
    const ends = yield* Effect.forEach(asked, (one) => ending(Deadline.locally(one, now + 300)), {
      concurrency: "unbounded"
    })
    expect(new Set(ends.map(({ end }) => end))).toEqual(new Set(["Left"]))
    expect(Math.max(...ends.map(({ millis }) => millis))).toBeLessThan(800)
    yield* server.resume
    yield* works(sql)
    yield* until(database.stats, ({ pool }) => pool.waiting === 0)
  })
)

withLayer("faults of the server", Server.layer, (test) => {
  for (const fault of faults) {
    for (const driver of ["bun", "pg"] as const) test(`${driver}: ${fault.title}`, () => run(driver, fault))
  }
})
