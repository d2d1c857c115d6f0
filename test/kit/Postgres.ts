import { chmodSync, mkdtempSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as PgClient from "@effect/sql-pg/PgClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import Pg from "pg"
import * as PostgresAccount from "../../layers/database/PostgresAccount.ts"
import * as PostgresBinaries from "../../layers/database/PostgresBinaries.ts"
import * as PostgresServer from "../../layers/database/PostgresServer.ts"
import { core } from "../../src/database/migrations/0001_core.ts"
import { Database } from "../../src/database/Database.ts"

/** The server that all tests of this process share. */
interface Shared {
  readonly socketFolder: string
  readonly tcpPort: number
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const template = "connect_template"

/** Statements of the kit itself, on a connection of their own. */
const admin = async (server: Shared, database: string, statement: string): Promise<void> => {
  const client = new Pg.Client({
    host: server.socketFolder,
    port: server.tcpPort,
    user: PostgresServer.user,
    database
  })
  await client.connect()
  await client.query(statement).finally(() => client.end())
}

const start = (folder: string, tcpPort: number) =>
  Effect.gen(function* () {
    const found = yield* PostgresBinaries.locate(join(folder, "lib"))
    const binaries = Option.getOrThrowWith(found, () => new Error("no Postgres for this platform"))
    const account = yield* PostgresAccount.forPaths([folder, binaries.postgres])
    const socketFolder = yield* Effect.promise(() => PostgresServer.privateFolder(account, join(folder, "s-")))
    const parent = yield* Effect.promise(() => PostgresServer.privateFolder(account, join(folder, "d-")))
    yield* PostgresServer.start({
      binaries,
      account,
      dataFolder: join(parent, "postgres"),
      socketFolder,
      logFile: join(folder, "postgres.log"),
      settings: { fsync: "off", listen_addresses: "127.0.0.1", port: String(tcpPort) },
      orphanFolders: [folder]
    })
    return socketFolder
  })

const launch = async (): Promise<Shared> => {
  const folder = mkdtempSync(join(tmpdir(), "connect-test-"))
  chmodSync(folder, 0o755)
  const tcpPort = await freePort()
  // The scope is never closed: `bun test` ends without an exit event, so the watchdog stops the server and cleans up.
  const scope = Effect.runSync(Scope.make())
  const socketFolder = await Effect.runPromise(Scope.extend(start(folder, tcpPort), scope))
  const server = { socketFolder, tcpPort }
  await admin(server, "postgres", `create database ${template}`)
  await admin(server, template, core)
  return server
}

let shared: Promise<Shared> | undefined

const server = Effect.promise(() => (shared ??= launch()))

let databases = 0

/** A fresh migrated database of the shared server, dropped with the scope. */
const freshDatabase = Effect.flatMap(server, (running) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const name = `t${++databases}`
      await admin(running, "postgres", `create database ${name} template ${template}`)
      return { ...running, name }
    }),
    ({ name }) => Effect.promise(() => admin(running, "postgres", `drop database if exists ${name} with (force)`))
  )
)

/** The `DATABASE_URL` of a fresh migrated database on a real server that listens on TCP. Dropped with the scope. */
export const url: Effect.Effect<string, never, Scope.Scope> = Effect.map(
  freshDatabase,
  ({ name, tcpPort }) => `postgres://${PostgresServer.user}@127.0.0.1:${tcpPort}/${name}`
)

/** SqlClient and Database on a fresh migrated database for each build. */
export const layerDatabase: Layer.Layer<SqlClient.SqlClient | Database> = Layer.unwrapScoped(
  Effect.map(freshDatabase, ({ name, socketFolder, tcpPort }) =>
    PgClient.layerFromPool({
      acquire: Effect.acquireRelease(
        Effect.sync(
          () => new Pg.Pool({ host: socketFolder, port: tcpPort, user: PostgresServer.user, database: name, max: 10 })
        ),
        (pool) => Effect.promise(() => pool.end())
      )
    }).pipe(
      Layer.orDie,
      Layer.merge(
        Layer.succeed(Database, {
          stats: Effect.succeed({
            backend: "postgres" as const,
            pool: { max: 10, open: 0, inUse: 0, waiting: 0 },
            queries: 0,
            failures: 0,
            slow: 0,
            meanMillis: 0
          }),
          slowQueries: Effect.succeed([]),
          ping: Effect.succeed(Duration.zero)
        })
      )
    )
  )
)
