import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { hostname } from "node:os"
import { join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { StartupError } from "../../src/config/StartupError.ts"

/** What the lock file says: which process holds the folder, and where its server listens once it does. */
export interface Holder {
  readonly pid: number
  /** When that process started, in the system's own words: tells it from another one that has its number now. */
  readonly startedAt: string
  readonly host: string
  readonly socketFolder?: string
}

/** A data folder that is ours for as long as the scope lives. */
export interface DataDir {
  readonly path: string
  /** Where the server of a holder that died listened: a folder to remove. */
  readonly leftSocketFolder: string | undefined
  /** Tells other programs where our server listens. */
  readonly publish: (socketFolder: string) => Effect.Effect<void>
}

const lockName = "lock.json"

/** Looks at a process: when it started, undefined when there is none or only what is left of one. */
export const startOf = (pid: number): string | undefined => {
  try {
    if (process.platform !== "linux")
      return execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim() || undefined
    // After the name, which may hold anything, in brackets: state first, the start in clock ticks as the 20th.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(")").at(-1)?.trim().split(" ") ?? []
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19]
  } catch {
    return undefined
  }
}

const me = (): Holder => ({ pid: process.pid, startedAt: startOf(process.pid) ?? "", host: hostname() })

/** Held by a process that lives. One on another machine cannot be looked at and counts as alive. */
const isAlive = (holder: Holder): boolean => holder.host !== hostname() || startOf(holder.pid) === holder.startedAt

const parse = (text: string): Holder | undefined => {
  try {
    return JSON.parse(text) as Holder
  } catch {
    return undefined
  }
}

/** Who holds the folder now, when somebody does. */
export const holderOf = (folder: string): Holder | undefined => {
  const file = join(resolve(folder), lockName)
  const holder = existsSync(file) ? parse(readFileSync(file, "utf8")) : undefined
  return holder !== undefined && isAlive(holder) ? holder : undefined
}

const inUse = (path: string, holder: Holder) =>
  new StartupError({
    what: `The data folder is in use by process ${holder.pid}${holder.host === hostname() ? "" : ` on ${holder.host}`}`,
    where: path,
    fix:
      holder.host === hostname()
        ? "Stop that process, or set DATA_DIR to another folder, or DATABASE_URL to a Postgres server that both use."
        : `Set DATA_DIR to another folder. When that machine is gone, delete ${join(path, lockName)}.`
  })

const unwritable = (path: string) => (error: unknown) =>
  new StartupError({
    what: "The data folder cannot be written",
    where: `${path} (${error instanceof Error ? error.message : String(error)})`,
    fix: "Set DATA_DIR to a folder that this user may write, or DATABASE_URL to a Postgres server."
  })

/** Creates the file with all its text or fails with EEXIST: a link appears at once, a written file bit by bit. */
const createWhole = async (file: string, text: string): Promise<boolean> => {
  const draft = `${file}.${process.pid}`
  await writeFile(draft, text)
  try {
    await link(draft, file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

/**
 * Takes a dead process's lock away. Two may try at once: whoever finds that it moved somebody's fresh lock puts it back.
 */
const takeAway = async (file: string, stale: string): Promise<void> => {
  const aside = `${file}.${process.pid}.stale`
  try {
    await rename(file, aside)
  } catch {
    return
  }
  if ((await readFile(aside, "utf8")) !== stale) await link(aside, file).catch(() => {})
  await rm(aside, { force: true })
}

/** Attempts before we say that the lock changes hands faster than we can look. */
const attemptsMax = 20

/** Takes the lock and returns the dead holder before us, if there was one. */
const lock = async (
  path: string,
  file: string,
  dead?: Holder,
  attempt = 1
): Promise<StartupError | Holder | undefined> => {
  if (await createWhole(file, JSON.stringify(me()))) return dead
  const text = await readFile(file, "utf8").catch(() => "")
  const holder = parse(text)
  if (holder !== undefined && (isAlive(holder) || attempt === attemptsMax)) return inUse(path, holder)
  await takeAway(file, text)
  return lock(path, file, holder ?? dead, attempt + 1)
}

/**
 * The folder, made when it is not there and locked for this process. Fails when a living process has it; what a dead
 * one left is taken over.
 */
export const acquire = (folder: string): Effect.Effect<DataDir, StartupError, Scope.Scope> => {
  const path = resolve(folder)
  const file = join(path, lockName)
  return Effect.acquireRelease(
    Effect.tryPromise({
      try: () => mkdir(path, { recursive: true }).then(() => lock(path, file)),
      catch: unwritable(path)
    }).pipe(Effect.flatMap((found) => (found instanceof StartupError ? found : Effect.succeed(found)))),
    () => Effect.promise(() => rm(file, { force: true }))
  ).pipe(
    Effect.map((dead) => ({
      path,
      leftSocketFolder: dead?.socketFolder,
      publish: (socketFolder) =>
        Effect.promise(async () => {
          await writeFile(`${file}.${process.pid}`, JSON.stringify({ ...me(), socketFolder }))
          await rename(`${file}.${process.pid}`, file)
        })
    }))
  )
}
