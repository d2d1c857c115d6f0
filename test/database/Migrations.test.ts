import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as DatabaseLayer from "../../layers/Database.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as Migrations from "../../src/database/Migrations.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const steps: ReadonlyArray<Migrations.Migration> = [
  { id: 1, name: "one", sql: "create table one (n int); insert into one values (1)" },
  { id: 2, name: "two", sql: "alter table one add column m int default 2" }
]

const onKit = <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.provide(
    Effect.flatMap(SqlClient.SqlClient, (sql) =>
      Effect.zipRight(sql.unsafe("drop schema public cascade; create schema public").unprepared, effect)
    ),
    Postgres.layerDatabase
  )

const run = (migrations: ReadonlyArray<Migrations.Migration>) => Migrations.run({ lock: true, migrations })

it.live("migrations run in order, each once", () =>
  onKit(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      expect(yield* run(steps.slice(0, 1))).toBe(1)
      expect(yield* run(steps)).toBe(1)
      expect(yield* run(steps)).toBe(0)
      expect(yield* sql`select * from one`).toEqual([{ n: 1, m: 2 }])
      expect(yield* sql`select id, name from migrations order by id`).toEqual([
        { id: 1, name: "one" },
        { id: 2, name: "two" }
      ])
    })
  )
)

it.live("a migration that fails leaves the database as it was", () =>
  onKit(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* Effect.flip(run([...steps, { id: 3, name: "bad", sql: "create table late (n int); select nothing" }]))
      expect(yield* sql`select to_regclass('one') as one, to_regclass('migrations') as migrations`).toEqual([
        { one: null, migrations: null }
      ])
    })
  )
)

it.live("a database newer than the program is refused with a way out", () =>
  onKit(
    Effect.gen(function* () {
      yield* run(steps)
      const error = yield* Effect.flip(run(steps.slice(0, 1)))
      expect(error._tag).toBe("StartupError")
      expect(error.message).toContain("newer version")
      expect(error.message).toContain("migration 2 (two)")
    })
  )
)

it.live("programs that start at once on an empty database all succeed", () =>
  Effect.gen(function* () {
    const url = Redacted.make(yield* Postgres.emptyUrl)
    const { database } = yield* Settings.Settings
    const started = Effect.scoped(DatabaseLayer.connect({ url }, { ...database, poolMax: 2 }))
    const contexts = yield* Effect.replicateEffect(started, 4, { concurrency: "unbounded" })
    expect(contexts.length).toBe(4)
  }).pipe(Effect.provide(Settings.layerTest()))
)

it("migrations have rising numbers without gaps", () =>
  Effect.sync(() =>
    expect(Migrations.migrations.map(({ id }) => id)).toEqual(Migrations.migrations.map((_, i) => i + 1))
  ))
