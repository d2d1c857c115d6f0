import { afterAll, expect } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as DatabaseLayer from "../../../layers/Database.ts"
import * as Settings from "../../../src/config/Settings.ts"
import { Database } from "../../../src/database/Database.ts"
import { it } from "../../kit/effect.ts"
import * as Postgres from "../../kit/Postgres.ts"
import { contract } from "./contract.ts"

const dataDir = mkdtempSync(join(tmpdir(), "connect-pglite-"))

afterAll(() => rmSync(dataDir, { recursive: true, force: true }))

contract("PGlite", Postgres.layerPglite(join(dataDir, "pglite")), "process")

it.live("DB_DRIVER=pglite finds in DATA_DIR what was left there", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    expect(yield* sql`select n from several`).toEqual([{ n: 1 }])
    expect((yield* (yield* Database).stats).backend).toBe("pglite")
  }).pipe(
    Effect.provide(
      DatabaseLayer.layer.pipe(
        Layer.provide(
          Settings.layerTest((settings) => ({
            ...settings,
            database: { ...settings.database, driver: "pglite", dataDir }
          }))
        )
      )
    )
  )
)
