import type * as SqlClient from "@effect/sql/SqlClient"
import * as Cause from "effect/Cause"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type Address, databaseOf, describe } from "../layers/database/Address.ts"
import * as DataDir from "../layers/database/DataDir.ts"
import * as EmbeddedPostgres from "../layers/database/EmbeddedPostgres.ts"
import * as DatabaseLayer from "../layers/Database.ts"
import { startupError } from "../src/config/explain.ts"
import * as Settings from "../src/config/Settings.ts"
import { StartupError } from "../src/config/StartupError.ts"
import { Database, type Stats } from "../src/database/Database.ts"
import * as Postgres from "../src/database/Postgres.ts"

type DatabaseSettings = Settings.Shape["database"]

/** The server of a running program on the data folder, by the socket that its lock file names. */
const embeddedAddress = ({ dataDir, url }: DatabaseSettings): Address | undefined => {
  const socketFolder = Option.isSome(url) ? undefined : DataDir.holderOf(dataDir)?.socketFolder
  return socketFolder === undefined ? undefined : EmbeddedPostgres.addressOf(socketFolder)
}

const unreachable = (address: Address) => (cause: Cause.Cause<unknown>) =>
  new StartupError({
    what: "Postgres is not reachable",
    where: `${describe(address)} (${explained(cause)})`,
    fix: "Start it there or correct DATABASE_URL; without DATABASE_URL the embedded database is looked into."
  })

const opened = (
  address: Address,
  settings: DatabaseSettings,
  backend: Stats["backend"]
): Effect.Effect<Effect.Effect.Success<ReturnType<typeof Postgres.make>>, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    const driver = yield* DatabaseLayer.driverFor(address, settings)
    const services = yield* Postgres.make({ driver, backend, name: databaseOf(address), settings })
    yield* Effect.flatMap(Database, ({ ping }) => ping).pipe(
      Effect.provide(services),
      Effect.catchAllCause((cause) => Effect.fail(unreachable(address)(cause)))
    )
    return services
  })

/**
 * The database that the settings name, as it is: no table of it is made or changed. The embedded one whether its server
 * is running or not: then our own for a moment.
 */
export const database: Layer.Layer<SqlClient.SqlClient | Database, StartupError, Settings.Settings> =
  Layer.unwrapEffect(
    Effect.map(Settings.Settings, ({ database: settings }) => {
      const address = embeddedAddress(settings)
      if (address !== undefined) return Layer.scopedContext(opened(address, settings, "embedded"))
      return Option.match(settings.url, {
        onNone: () => DatabaseLayer.layer,
        onSome: (url) => Layer.scopedContext(opened({ url }, settings, "postgres"))
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
