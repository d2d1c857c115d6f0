import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { existsSync } from "node:fs"
import { join } from "node:path"
import * as Settings from "../src/config/Settings.ts"
import { sqlState } from "../src/database/SqlErrors.ts"
import { StartupError } from "../src/config/StartupError.ts"
import type { Database, Stats } from "../src/database/Database.ts"
import type { Driver } from "../src/database/Driver.ts"
import * as Migrations from "../src/database/Migrations.ts"
import * as Postgres from "../src/database/Postgres.ts"
import { type Address, databaseOf, describe } from "./database/Address.ts"
import * as DataDir from "./database/DataDir.ts"
import * as EmbeddedPostgres from "./database/EmbeddedPostgres.ts"
import * as PgliteDriver from "./database/PgliteDriver.ts"
import * as PostgresBinaries from "./database/PostgresBinaries.ts"

type DatabaseSettings = Settings.Shape["database"]

const onBun = process.versions["bun"] !== undefined

/**
 * The driver for a server at `address`: Bun.SQL on Bun with prepared statements, pg elsewhere, unless the settings name one. Only the one in use
 * is loaded.
 */
export const driverFor = (
  address: Address,
  { driver, prepared, queryTimeout }: Pick<DatabaseSettings, "driver" | "prepared" | "queryTimeout">
): Effect.Effect<Driver, StartupError> => {
  const options = { address, statementMillisMax: Duration.toMillis(queryTimeout), prepared }
  if (driver === "bun" && !onBun)
    return new StartupError({
      what: "DB_DRIVER=bun works only on Bun",
      where: "this runtime has no Bun.SQL",
      fix: "Set DB_DRIVER to pg, or leave it out."
    })
  if (driver === "bun" && !prepared)
    return new StartupError({
      what: "DB_DRIVER=bun needs prepared statements",
      where: "DB_PREPARED=false, and through a pooler Bun.SQL could only cancel whatever runs in its old place",
      fix: "Set DB_DRIVER to pg, or leave it out."
    })
  return driver === "pg" || !onBun || !prepared
    ? Effect.map(
        Effect.promise(() => import("./database/PgDriver.ts")),
        ({ make }) => make(options)
      )
    : Effect.flatMap(
        Effect.promise(() => import("./database/BunSqlDriver.ts")),
        ({ make }) => make(options)
      )
}

/** The driver's own words. A driver names host, user and database; should it ever repeat the address, not its password. */
const reasonOf = (error: SqlError, address: Address): string => {
  const text = error.cause instanceof Error && error.cause.message !== "" ? error.cause.message : error.message
  const code = (error.cause as { readonly code?: unknown } | undefined)?.code
  const reason = [text, code].filter((part) => typeof part === "string" && part !== "").join(", ") || "no answer"
  const password = "url" in address ? new URL(Redacted.value(address.url)).password : ""
  return password === "" ? reason : reason.replaceAll(`:${password}@`, ":***@")
}

const orOurs = "without DATABASE_URL the program brings its own Postgres."

/** What is wrong and what to do about it, by what the server answered, if it did. */
const explained = (error: SqlError): { readonly what: string; readonly fix: string } => {
  if (sqlState(error) === "3D000")
    return { what: "The database does not exist", fix: `Create it there or correct DATABASE_URL; ${orOurs}` }
  // What a connection keeps it cannot keep: PgBouncer refuses the parameter that says for how long a statement may run.
  if (error.message.includes("unsupported startup parameter"))
    return { what: "A PgBouncer refuses our connections", fix: "Set DB_PREPARED to false." }
  return { what: "Postgres is not reachable", fix: `Start it there or correct DATABASE_URL; ${orOurs}` }
}

const unreachable = (error: SqlError, address: Address) =>
  new StartupError({ ...explained(error), where: `${describe(address)} (${reasonOf(error, address)})` })

/** One connection, to say early and clearly what is wrong. */
export const probe = (driver: Driver, address: Address): Effect.Effect<void, StartupError> =>
  Effect.async<void, SqlError>((resume) => {
    driver.connect((outcome) => {
      if (Either.isLeft(outcome)) return resume(Effect.fail(outcome.left))
      outcome.right.close()
      resume(Effect.void)
    })
  }).pipe(Effect.mapError((error) => unreachable(error, address)))

type Services = Context.Context<SqlClient.SqlClient | Database>

interface Source {
  readonly driver: Driver
  readonly backend: Stats["backend"]
  readonly name: string
}

/** A driver with its pool and its observer, and the schema up to date. */
export const migrated = (
  { backend, driver, name }: Source,
  settings: DatabaseSettings
): Effect.Effect<Services, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    const services = yield* Postgres.make({ backend, driver, name, settings })
    yield* Migrations.run({ lock: backend !== "pglite" }).pipe(
      Effect.provide(services),
      Effect.catchAll((error) =>
        error instanceof StartupError
          ? error
          : new StartupError({
              what: "The database's tables could not be made",
              where: `${name} (${String((error.cause as Error | undefined)?.message ?? error.message)})`,
              fix: "Give the user of DATABASE_URL the right to create tables and the extension pg_trgm, or set it to an empty database."
            })
      )
    )
    return services
  })

/** The database at a URL (or another address of a running server), migrated. */
export const connect = (
  address: Address,
  settings: DatabaseSettings,
  backend: Stats["backend"] = "postgres"
): Effect.Effect<Services, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    const driver = yield* driverFor(address, settings)
    yield* probe(driver, address)
    return yield* migrated({ driver, backend, name: databaseOf(address) }, settings)
  })

/** PGlite's files in the data folder. */
const pgliteName = "pglite"

/** Whether an embedded database was ever made in the folder. */
export const isIn = (dataDir: string): boolean =>
  [EmbeddedPostgres.clusterName, pgliteName].some((name) => existsSync(join(dataDir, name)))

const pglite = (folder: string): Effect.Effect<Source, StartupError, Scope.Scope> =>
  Effect.map(PgliteDriver.make(folder), (driver) => ({ driver, backend: "pglite", name: "postgres" }))

/** Our own server in `DATA_DIR`, as it is; PGlite where no Postgres for this platform came with the program. */
export const embeddedSource = (settings: DatabaseSettings): Effect.Effect<Source, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    const dataDir = yield* DataDir.acquire(settings.dataDir)
    const pgliteFolder = join(dataDir.path, pgliteName)
    if (settings.driver === "pglite") return yield* pglite(pgliteFolder)
    const binaries = yield* PostgresBinaries.locate(join(dataDir.path, "lib"))
    if (Option.isNone(binaries)) {
      yield* Effect.logWarning(
        `No Postgres for ${process.platform}-${process.arch} came with the program: the data is kept by PGlite, inside this process`
      )
      return yield* pglite(pgliteFolder)
    }
    const address = yield* EmbeddedPostgres.start(dataDir, binaries.value)
    const driver = yield* driverFor(address, settings)
    return { driver, backend: "embedded", name: databaseOf(address) }
  })

/** The database that the settings name: `DATABASE_URL`, else an embedded one in `DATA_DIR`. Migrated. */
export const layer: Layer.Layer<SqlClient.SqlClient | Database, StartupError, Settings.Settings> = Layer.scopedContext(
  Effect.flatMap(Settings.Settings, ({ database }) =>
    Option.match(database.url, {
      onNone: () => Effect.flatMap(embeddedSource(database), (source) => migrated(source, database)),
      onSome: (url) => connect({ url }, database)
    })
  )
)
