import { existsSync, readFileSync, readlinkSync, statSync } from "node:fs"
import { readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { StartupError } from "../../src/config/StartupError.ts"
import type { Address } from "./Address.ts"
import { type DataDir, startOf } from "./DataDir.ts"
import * as PostgresAccount from "./PostgresAccount.ts"
import type { PostgresBinaries } from "./PostgresBinaries.ts"
import * as PostgresServer from "./PostgresServer.ts"

/** The database that a fresh cluster comes with. */
const database = "postgres"

/** Major version of the packaged binaries, as PG_VERSION in the data folder names it. */
const major = "18"

/** The server's files in the data folder. */
export const clusterName = "postgres"

/** The postmaster that a killed process left running on these files. */
const orphan = async (dataFolder: string): Promise<number | undefined> => {
  const text = await readFile(join(dataFolder, "postmaster.pid"), "utf8").catch(() => "")
  const pid = Number(text.split("\n")[0])
  if (!(pid > 1) || startOf(pid) === undefined) return undefined
  // Its number may be another process's by now. A postmaster stands in its data folder.
  if (existsSync(`/proc/${pid}/cwd`) && readlinkSync(`/proc/${pid}/cwd`) !== dataFolder) return undefined
  return pid
}

const gone = (pid: number) =>
  Effect.repeat(
    Effect.sync(() => startOf(pid) === undefined),
    { until: (is) => is, schedule: Schedule.spaced("10 millis") }
  )

/** We hold the folder's lock, so any server on it belongs to a process that is dead. */
const stopOrphan = (dataFolder: string): Effect.Effect<void, StartupError> =>
  Effect.gen(function* () {
    const pid = yield* Effect.promise(() => orphan(dataFolder))
    if (pid === undefined) return
    for (const signal of ["SIGINT", "SIGQUIT", "SIGKILL"] as const) {
      yield* Effect.ignore(Effect.try(() => process.kill(pid, signal)))
      const done = yield* Effect.timeoutOption(gone(pid), "5 seconds")
      if (done._tag === "Some") return
    }
    return yield* new StartupError({
      what: `A Postgres server of an earlier start (process ${pid}) does not stop`,
      where: dataFolder,
      fix: "Stop that process, or set DATA_DIR to another folder."
    })
  })

const socketFolderName = "rtc-"

/** The folder comes from a file, so only one that is named like ours is deleted. */
const removeLeft = (socketFolder: string | undefined): Effect.Effect<void> =>
  socketFolder === undefined || !basename(socketFolder).startsWith(socketFolderName)
    ? Effect.void
    : Effect.promise(() => rm(socketFolder, { recursive: true, force: true }))

const checkVersion = (dataFolder: string): Effect.Effect<void, StartupError> =>
  Effect.suspend(() => {
    const file = join(dataFolder, "PG_VERSION")
    const found = existsSync(file) ? readFileSync(file, "utf8").trim() : major
    return found === major
      ? Effect.void
      : new StartupError({
          what: `The data folder was made by Postgres ${found}; this program brings Postgres ${major}`,
          where: dataFolder,
          fix: `Set DATA_DIR to a new folder, or run Postgres ${found} on this one and set DATABASE_URL to it.`
        })
  })

/** Folders for the socket: short enough for its path, the usual one first. */
const socketPrefix = (): string =>
  [tmpdir(), "/tmp"]
    .map((folder) => join(folder, socketFolderName))
    .find(
      (prefix) => Buffer.byteLength(prefix) + 6 <= PostgresServer.socketFolderBytesMax && existsSync(dirname(prefix))
    ) ?? join("/tmp", socketFolderName)

const ownerOf = (dataFolder: string) => {
  if (!existsSync(dataFolder)) return undefined
  const { gid, uid } = statSync(dataFolder)
  return { uid, gid }
}

/**
 * A Postgres of our own in the data folder, reachable only through a socket in a folder that only we may enter. It is
 * durable (fsync, synchronous commit) and small (16 MB of buffers). It stops with the scope.
 */
export const start = (
  dataDir: DataDir,
  binaries: PostgresBinaries
): Effect.Effect<Address, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    const dataFolder = join(dataDir.path, clusterName)
    yield* stopOrphan(dataFolder)
    yield* removeLeft(dataDir.leftSocketFolder)
    yield* Effect.promise(() => PostgresServer.removeUnfinished(dataDir.path, basename(dataFolder)))
    yield* checkVersion(dataFolder)
    const prefix = socketPrefix()
    const account = yield* PostgresAccount.forPaths(
      [dataDir.path, binaries.postgres, dirname(prefix)],
      ownerOf(dataFolder)
    )
    yield* PostgresServer.ensureCluster({ binaries, account, dataFolder })
    const socketFolder = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: () => PostgresServer.privateFolder(account, prefix),
        catch: (error) =>
          new StartupError({
            what: "No folder for the database's socket",
            where: `${prefix}… (${String(error)})`,
            fix: "Set TMPDIR to a folder that this user may write, or DATABASE_URL to a Postgres server."
          })
      }),
      (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
    )
    yield* PostgresServer.start({
      binaries,
      account,
      dataFolder,
      socketFolder,
      logFile: join(dataDir.path, "postgres.log"),
      // For `bun run db`: what statements take.
      settings: { shared_preload_libraries: "pg_stat_statements", "pg_stat_statements.max": "1000" }
    })
    yield* dataDir.publish(socketFolder)
    return addressOf(socketFolder)
  })

/** Where the server of a running program listens, from its lock file. */
export const addressOf = (socketFolder: string): Address => ({
  socketFolder,
  port: PostgresServer.port,
  user: PostgresServer.user,
  database
})
