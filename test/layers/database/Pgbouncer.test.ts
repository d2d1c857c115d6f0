import { describe, expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as DatabaseLayer from "../../../layers/Database.ts"
import * as Settings from "../../../src/config/Settings.ts"
import { sqlState } from "../../../src/database/SqlErrors.ts"
import { it } from "../../kit/effect.ts"
import * as Pgbouncer from "../../kit/Pgbouncer.ts"
import * as Postgres from "../../kit/Postgres.ts"
import { contract } from "./contract.ts"

/** Through a PgBouncer that pools transactions, of whatever version Debian has: the older know no prepared statements. */
const layerWith = (changes: Partial<Settings.Shape["database"]>) =>
  Layer.scopedContext(
    Effect.gen(function* () {
      const url = yield* Pgbouncer.inFrontOf(yield* Postgres.url)
      const { database } = yield* Settings.Settings
      return yield* DatabaseLayer.connect({ url: Redacted.make(url) }, { ...database, prepared: false, ...changes })
    })
  ).pipe(Layer.provide(Settings.layerTest()), Layer.orDie)

describe.skipIf(!Pgbouncer.isInstalled())("behind PgBouncer", () => {
  contract("pg, DB_PREPARED=false", layerWith({}), "pooler")

  it.live("who connects as to a server of its own is told what to set", () =>
    Effect.gen(function* () {
      const address = { url: Redacted.make(yield* Pgbouncer.inFrontOf(yield* Postgres.url)) }
      const { database } = yield* Settings.Settings
      for (const driver of ["bun", "pg"] as const) {
        const error = yield* Effect.flip(DatabaseLayer.connect(address, { ...database, driver }))
        expect(error.message).toContain("A PgBouncer refuses our connections")
        expect(error.message).toContain("Set DB_PREPARED to false.")
      }
    }).pipe(Effect.provide(Settings.layerTest()))
  )

  it.live("the limit of a statement is kept, though no connection can hold it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [took, error] = yield* Effect.timed(Effect.flip(sql`select pg_sleep(20)`))
      expect(sqlState(error)).toBe("57014")
      expect(Duration.toMillis(took)).toBeLessThan(2_000)
    }).pipe(Effect.provide(layerWith({ queryTimeout: Duration.millis(200) })))
  )
})

it.live("Bun.SQL is refused where statements must not be prepared", () =>
  Effect.gen(function* () {
    const address = { url: Redacted.make("postgres://nobody@127.0.0.1:1/none") }
    const settings = { driver: "bun", prepared: false, queryTimeout: Duration.seconds(1) } as const
    const error = yield* Effect.flip(DatabaseLayer.driverFor(address, settings))
    expect(error.what).toContain("DB_DRIVER=bun needs prepared statements")
  })
)
