import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import Pg from "pg"
import { type Address, databaseOf } from "../../layers/database/Address.ts"
import * as PgliteDriver from "../../layers/database/PgliteDriver.ts"
import * as PostgresAccount from "../../layers/database/PostgresAccount.ts"
import * as PostgresBinaries from "../../layers/database/PostgresBinaries.ts"
import * as PostgresServer from "../../layers/database/PostgresServer.ts"
import * as DatabaseLayer from "../../layers/Database.ts"
import * as Settings from "../../src/config/Settings.ts"
import type { StartupError } from "../../src/config/StartupError.ts"
import type { Database } from "../../src/database/Database.ts"
import { freePort } from "./ports.ts"

/** The server that all tests of this process share. */
interface Shared {
  readonly socketFolder: string
  readonly tcpPort: number
}

type DatabaseSettings = Settings.Shape["database"]

const template = "connect_template"

const addressOf = ({ socketFolder, tcpPort }: Shared, database: string): Address => ({
  socketFolder,
  port: tcpPort,
  user: PostgresServer.user,
  database
})

/** A statement of the kit itself, on a connection of its own. */
const admin = async (server: Shared, statement: string): Promise<void> => {
  const client = new Pg.Client({
    host: server.socketFolder,
    port: server.tcpPort,
    user: PostgresServer.user,
    database: "postgres"
  })
  await client.connect()
  await client.query(statement).finally(() => client.end())
}

const testSettings = Effect.map(Settings.Settings, ({ database }) => database).pipe(
  Effect.provide(Settings.layerTest())
)

/** Nothing is kept when the machine fails, which makes a test faster. */
export const forgetful = { fsync: "off", full_page_writes: "off", shared_preload_libraries: "pg_stat_statements" }

/** What a server in `folder` is started with, its private folders made. */
export const serverOptions = (folder: string, tcpPort: number, settings: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const found = yield* PostgresBinaries.locate(join(folder, "lib"))
    const binaries = Option.getOrThrowWith(found, () => new Error("No Postgres for this platform in node_modules"))
    const account = yield* PostgresAccount.forPaths([folder, binaries.postgres], undefined)
    const socketFolder = yield* Effect.promise(() => PostgresServer.privateFolder(account, join(folder, "s-")))
    const parent = yield* Effect.promise(() => PostgresServer.privateFolder(account, join(folder, "d-")))
    return {
      binaries,
      account,
      dataFolder: join(parent, "postgres"),
      socketFolder,
      logFile: join(folder, "postgres.log"),
      settings: { ...settings, listen_addresses: "127.0.0.1", port: String(tcpPort) },
      orphanFolders: [folder]
    }
  })

const start = (folder: string, tcpPort: number, settings: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const options = yield* serverOptions(folder, tcpPort, settings)
    yield* PostgresServer.start(options)
    return options.socketFolder
  })

/** A folder for a server, to be deleted by whoever asked for it. */
export const newFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "connect-test-"))
  chmodSync(folder, 0o755)
  return folder
}

export const urlAt = (tcpPort: number, database: string): string =>
  `postgres://${PostgresServer.user}:none@127.0.0.1:${tcpPort}/${database}`

const launch = async (): Promise<Shared> => {
  const folder = newFolder()
  const tcpPort = await freePort()
  // The scope is never closed: `bun test` ends without an exit event, so the watchdog stops the server and cleans up.
  const scope = Effect.runSync(Scope.make())
  const socketFolder = await Effect.runPromise(Scope.extend(start(folder, tcpPort, forgetful), scope))
  const server = { socketFolder, tcpPort }
  await admin(server, `create database ${template}`)
  await Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(testSettings, (settings) => DatabaseLayer.connect(addressOf(server, template), settings))
    )
  )
  return server
}

let shared: Promise<Shared> | undefined

const server = Effect.promise(() => (shared ??= launch()))

let databases = 0

/** The address of a fresh database on the shared server, migrated unless `empty`. Dropped with the scope. */
export const freshAddress = (kind: "migrated" | "empty" = "migrated"): Effect.Effect<Address, never, Scope.Scope> =>
  Effect.flatMap(server, (running) => {
    const name = `t${++databases}`
    return Effect.as(
      Effect.acquireRelease(
        Effect.promise(() =>
          admin(running, `create database ${name} template ${kind === "empty" ? "template1" : template}`)
        ),
        () => Effect.promise(() => admin(running, `drop database if exists ${name} with (force)`))
      ),
      addressOf(running, name)
    )
  })

const urlOf = (kind: "migrated" | "empty"): Effect.Effect<string, never, Scope.Scope> =>
  Effect.flatMap(server, ({ tcpPort }) =>
    Effect.map(freshAddress(kind), (address) => urlAt(tcpPort, databaseOf(address)))
  )

/** The `DATABASE_URL` of a fresh migrated database on a real server that listens on TCP. Dropped with the scope. */
export const url = urlOf("migrated")

/** The same without any table. */
export const emptyUrl = urlOf("empty")

/** The `DATABASE_URL` of a server of one's own that keeps what it commits as in production. Stops with the scope. */
export const durableUrl: Effect.Effect<string, StartupError, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(Effect.sync(newFolder), (made) =>
    Effect.sync(() => rmSync(made, { recursive: true, force: true }))
  )
  const tcpPort = yield* Effect.promise(() => freePort())
  yield* start(folder, tcpPort, {})
  return urlAt(tcpPort, "postgres")
})

type Layers = Layer.Layer<SqlClient.SqlClient | Database>

/** SqlClient and Database on a fresh migrated database for each build, with other settings. */
export const layerWith = (change: (settings: DatabaseSettings) => DatabaseSettings): Layers =>
  Layer.scopedContext(
    Effect.gen(function* () {
      const settings = yield* testSettings
      return yield* DatabaseLayer.connect(yield* freshAddress(), change(settings))
    })
  ).pipe(Layer.orDie)

/** SqlClient and Database on a fresh migrated database for each build. */
export const layerDatabase: Layers = layerWith((settings) => settings)

/** The same through PGlite, in memory or in a folder. It takes 2 s and 300 MB: for what is about PGlite only. */
export const layerPglite = (folder?: string): Layers =>
  Layer.scopedContext(
    Effect.gen(function* () {
      const settings = yield* testSettings
      const driver = yield* PgliteDriver.make(folder)
      return yield* DatabaseLayer.migrated({ driver, backend: "pglite", name: "postgres" }, settings)
    })
  ).pipe(Layer.orDie)
