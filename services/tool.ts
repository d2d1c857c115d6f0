import type * as SqlClient from "@effect/sql/SqlClient"
import { resolve } from "node:path"
import * as Cause from "effect/Cause"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type Address, databaseOf } from "../layers/database/Address.ts"
import * as DataDir from "../layers/database/DataDir.ts"
import * as EmbeddedPostgres from "../layers/database/EmbeddedPostgres.ts"
import * as DatabaseLayer from "../layers/Database.ts"
import { startupError } from "../src/config/explain.ts"
import * as Settings from "../src/config/Settings.ts"
import { StartupError } from "../src/config/StartupError.ts"
import type { Database, Stats } from "../src/database/Database.ts"
import * as Postgres from "../src/database/Postgres.ts"

type DatabaseSettings = Settings.Shape["database"]

/** The server of a running program on the data folder, by the socket that its lock file names. */
const embeddedAddress = ({ dataDir, url }: DatabaseSettings): Address | undefined => {
  const socketFolder = Option.isSome(url) ? undefined : DataDir.holderOf(dataDir)?.socketFolder
  return socketFolder === undefined ? undefined : EmbeddedPostgres.addressOf(socketFolder)
}

const opened = (address: Address, settings: DatabaseSettings, backend: Stats["backend"]) =>
  Effect.gen(function* () {
    const driver = yield* DatabaseLayer.driverFor(address, settings)
    yield* DatabaseLayer.probe(driver, address)
    return yield* Postgres.make({ driver, backend, name: databaseOf(address), settings })
  })

/** The embedded database whose server is not running: our own for a moment. None is made for a look. */
const started = (settings: DatabaseSettings) => {
  const dataDir = resolve(settings.dataDir)
  return DatabaseLayer.isIn(dataDir)
    ? Effect.flatMap(DatabaseLayer.embeddedSource(settings), (source) => Postgres.make({ ...source, settings }))
    : new StartupError({
        what: "There is no database yet",
        where: dataDir,
        fix: "Run `bun run start` once, which makes it, or set DATA_DIR to its folder or DATABASE_URL to a server."
      })
}

/**
 * The database that the settings name, as it is: no table of it is made or changed. The embedded one whether its server
 * is running or not.
 */
export const database: Layer.Layer<SqlClient.SqlClient | Database, StartupError, Settings.Settings> =
  Layer.scopedContext(
    Effect.flatMap(Settings.Settings, ({ database: settings }) => {
      const address = embeddedAddress(settings)
      if (address !== undefined) return opened(address, settings, "embedded")
      return Option.match(settings.url, {
        onNone: () => started(settings),
        onSome: (url) => opened({ url }, settings, "postgres")
      })
    })
  )

/** A failure in words for people. */
export const explained = (cause: Cause.Cause<unknown>): string => {
  const failure = Option.getOrUndefined(Cause.failureOption(cause))
  if (ConfigError.isConfigError(failure)) return startupError(failure).message
  return failure instanceof Error ? failure.message : Cause.pretty(cause)
}

export const print = (stream: NodeJS.WriteStream, text: string): Effect.Effect<void> =>
  Effect.sync(() => void stream.write(`${text}\n`))

/** Says on standard error why a tool failed; nothing when it was interrupted. */
export const saying = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.tapErrorCause(effect, (cause) =>
    Cause.isInterruptedOnly(cause) ? Effect.void : print(process.stderr, explained(cause))
  )
