import { type ChildProcess, spawn } from "node:child_process"
import { chown, mkdtemp, open, readFile, readdir, rename, rm } from "node:fs/promises"
import type { Socket } from "node:net"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { StartupError } from "../../src/config/StartupError.ts"
import type { PostgresAccount } from "./PostgresAccount.ts"
import type { PostgresBinaries } from "./PostgresBinaries.ts"

/** One server: its programs, whose account runs them, and where it keeps things. */
export interface PostgresServerOptions {
  readonly binaries: PostgresBinaries
  readonly account: PostgresAccount
  /** The cluster; made when it is not there. */
  readonly dataFolder: string
  /** A private folder of the account with a path of at most `socketFolderBytesMax`. */
  readonly socketFolder: string
  /** What the server has to say, from this start on. */
  readonly logFile: string
  /** Further settings, such as `fsync: "off"`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Folders that the watchdog deletes when this process is killed. */
  readonly orphanFolders?: ReadonlyArray<string>
}

type ClusterOptions = Pick<PostgresServerOptions, "binaries" | "account" | "dataFolder">

/** The superuser of the clusters made here; the socket's folder is what guards it. */
export const user = "connect"

/** The socket's name ends in it. No TCP port is opened. */
export const port = 5432

/** `sun_path` holds 104 bytes on macOS and 108 on Linux; the socket's own name takes 15. */
export const socketFolderBytesMax = 88

const startLimit = "30 seconds"

/** Time for a fast shutdown before an immediate one, which recovers at the next start. */
const stopLimit = "10 seconds"

/** Milliseconds between two looks at whether the server is ready. */
const pollMillis = 4

const settings: Readonly<Record<string, string>> = {
  listen_addresses: "",
  port: String(port),
  max_connections: "100",
  shared_buffers: "16MB",
  dynamic_shared_memory_type: "mmap",
  huge_pages: "off",
  io_method: "sync",
  wal_level: "minimal",
  max_wal_senders: "0",
  max_worker_processes: "2",
  max_parallel_workers_per_gather: "0",
  fsync: "on",
  synchronous_commit: "on",
  jit: "off",
  log_timezone: "UTC",
  timezone: "UTC"
}

/** Neither the PG* variables of a developer nor their locale may change the server. */
const environment = (binaries: PostgresBinaries): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "/usr/bin:/bin",
  LC_ALL: "C",
  ...(Option.isSome(binaries.libraryPath) ? { LD_LIBRARY_PATH: binaries.libraryPath.value } : {})
})

interface Command {
  readonly program: string
  readonly args: ReadonlyArray<string>
  readonly binaries: PostgresBinaries
  readonly account: PostgresAccount
  readonly output: number | "pipe"
  readonly input?: "pipe"
}

/** `detached`: Ctrl-C reaches every process of the terminal's group; the server has to outlive our draining. */
const launch = ({ account, args, binaries, input, output, program }: Command): ChildProcess => {
  const [first = program, ...rest] = [...account.prefix, program, ...args]
  return spawn(first, rest, {
    cwd: "/",
    env: environment(binaries),
    detached: true,
    stdio: [input ?? "ignore", output, output],
    ...(account.prefix.length === 0 ? account.owner : {})
  })
}

const exited = (child: ChildProcess): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

const failed = (what: string, where: string, details: string) =>
  new StartupError({
    what,
    where: details === "" ? where : `${where}\n${details.trim()}`,
    fix: "Set DATA_DIR to a folder on a disk with room that this user may write, or DATABASE_URL to a Postgres server."
  })

const own = (account: PostgresAccount, path: string) =>
  account.owner === undefined ? Promise.resolve() : chown(path, account.owner.uid, account.owner.gid)

/** A fresh folder that belongs to the account, mode 0700. */
export const privateFolder = (account: PostgresAccount, prefix: string): Promise<string> =>
  mkdtemp(prefix).then((folder) => own(account, folder).then(() => folder))

/** Case as Unicode and JavaScript have it, in the order of code points; both are Postgres's own, alike on every machine. */
const locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=PG_UNICODE_FAST"]

const initdb = (options: ClusterOptions, folder: string): Effect.Effect<void, StartupError> =>
  Effect.async((resume) => {
    const args = ["-D", folder, "-U", user, "-A", "trust", "-E", "UTF8", ...locale, "--no-instructions"]
    const child = launch({ ...options, program: options.binaries.initdb, args, output: "pipe" })
    let output = ""
    const fail = (details: string) =>
      resume(Effect.fail(failed("Postgres could not make its data folder", options.dataFolder, details)))
    child.stdout?.on("data", () => {})
    child.stderr?.on("data", (chunk: Buffer) => (output += chunk.toString()))
    child.once("error", (error) => fail(error.message))
    child.once("close", (code) => (code === 0 ? resume(Effect.void) : fail(output)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Made aside and renamed, so that a cluster is there whole or not at all, whenever we are killed. */
const createCluster = (options: ClusterOptions): Effect.Effect<void, StartupError> =>
  Effect.acquireUseRelease(
    Effect.tryPromise({
      try: () => privateFolder(options.account, `${options.dataFolder}.init-`),
      catch: (error) => failed("The data folder cannot be written", options.dataFolder, String(error))
    }),
    (folder) =>
      Effect.zipRight(
        initdb(options, folder),
        Effect.tryPromise({
          try: () => rename(folder, options.dataFolder),
          catch: (error) => failed("Postgres could not make its data folder", options.dataFolder, String(error))
        })
      ),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )

const version = (folder: string): Promise<string | undefined> =>
  readFile(join(folder, "PG_VERSION"), "utf8").then(
    (text) => text.trim(),
    () => undefined
  )

/** The cluster, made when there is none. `start` does it too; before, it needs no socket's folder yet. */
export const ensureCluster = (options: ClusterOptions): Effect.Effect<void, StartupError> =>
  Effect.flatMap(
    Effect.promise(() => version(options.dataFolder)),
    (found) => (found === undefined ? createCluster(options) : Effect.void)
  )

const logTail = (options: PostgresServerOptions) =>
  Effect.promise(() =>
    readFile(options.logFile, "utf8").then(
      (text) => text.trim().split("\n").slice(-8).join("\n"),
      () => ""
    )
  )

/**
 * Outlives us by a moment: its input closes when this process is gone, however it went, and then it stops the server
 * and deletes what would lie about.
 */
const watchdogScript = `read -r _
kill -INT "$1" || exit 0
shift
for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$0" 2>/dev/null || break; sleep 0.2; done
rm -rf -- "$@"`

const startWatchdog = (options: PostgresServerOptions, pid: number): ChildProcess => {
  const args = ["-c", watchdogScript, String(pid), String(pid), ...(options.orphanFolders ?? [options.socketFolder])]
  // As ourselves: it deletes folders of ours and may signal whomever we may.
  const account = { owner: undefined, prefix: [] }
  const child = launch({ ...options, account, program: "/bin/sh", args, output: "pipe", input: "pipe" })
  child.once("error", () => {})
  child.unref()
  // A pipe is a socket here and knows `unref`, which the type of a writable does not say.
  for (const stream of [child.stdin, child.stdout, child.stderr]) (stream as Partial<Socket> | null)?.unref?.()
  return child
}

const awaitReady = (options: PostgresServerOptions, child: ChildProcess): Effect.Effect<void, StartupError> => {
  const status = Effect.promise(() => readFile(join(options.dataFolder, "postmaster.pid"), "utf8").catch(() => ""))
  const ready = Effect.map(status, (text) => text.startsWith(`${child.pid}\n`) && /^ready *$/m.test(text))
  const gone = Effect.flatMap(logTail(options), (tail) => failed("Postgres did not start", options.dataFolder, tail))
  return Effect.repeat(ready, { until: (is) => is, schedule: Schedule.spaced(pollMillis) }).pipe(
    Effect.asVoid,
    Effect.raceFirst(Effect.zipRight(exited(child), gone)),
    Effect.timeoutOption(startLimit),
    Effect.flatMap(Option.match({ onNone: () => gone, onSome: () => Effect.void }))
  )
}

/** Fast shutdown: open transactions are rolled back, everything committed is on disk. */
const stop = (child: ChildProcess): Effect.Effect<void> => {
  const ask = (signal: "SIGINT" | "SIGQUIT") =>
    Effect.timeoutOption(
      Effect.zipRight(
        Effect.sync(() => child.kill(signal)),
        exited(child)
      ),
      stopLimit
    )
  return Effect.flatMap(ask("SIGINT"), (done) => (Option.isSome(done) ? Effect.void : Effect.asVoid(ask("SIGQUIT"))))
}

/**
 * A running server, its cluster made when there is none. It stops with the scope; when this process is killed a
 * watchdog stops it. Returns the postmaster's process id.
 */
export const start = (options: PostgresServerOptions): Effect.Effect<number, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    yield* ensureCluster(options)
    const log = yield* Effect.tryPromise({
      // Anew, because it may be another user's from the last start.
      try: () => rm(options.logFile, { force: true }).then(() => open(options.logFile, "w")),
      catch: (error) => failed("The data folder cannot be written", options.logFile, String(error))
    })
    const named = { ...settings, unix_socket_directories: `"${options.socketFolder}"`, ...options.settings }
    const args = [
      "-D",
      options.dataFolder,
      ...Object.entries(named).flatMap(([key, value]) => ["-c", `${key}=${value}`])
    ]
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const started = launch({ ...options, program: options.binaries.postgres, args, output: log.fd })
        started.once("error", () => {})
        started.unref()
        return started
      }),
      stop
    )
    yield* Effect.promise(() => log.close())
    if (child.pid === undefined)
      return yield* failed("Postgres could not be started", options.binaries.postgres, yield* logTail(options))
    const pid = child.pid
    yield* Effect.acquireRelease(
      Effect.sync(() => startWatchdog(options, pid)),
      // Before the server stops: a number that is free again may be another process's by the time we are gone.
      (watchdog) => Effect.sync(() => watchdog.kill("SIGKILL"))
    )
    yield* awaitReady(options, child)
    return pid
  })

/** Clusters that were never finished, from processes that were killed while they made one. */
export const removeUnfinished = (folder: string, name: string): Promise<void> =>
  readdir(folder).then((entries) =>
    Promise.all(
      entries
        .filter((entry) => entry.startsWith(`${name}.init-`))
        .map((entry) => rm(join(folder, entry), { recursive: true, force: true }))
    ).then(() => undefined)
  )
