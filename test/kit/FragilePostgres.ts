import { execFileSync } from "node:child_process"
import { rmSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as PostgresServer from "../../layers/database/PostgresServer.ts"
import type { StartupError } from "../../src/config/StartupError.ts"
import { freePort } from "./ports.ts"
import * as Postgres from "./Postgres.ts"

/** A server of one's own, to be broken. */
export interface FragilePostgres {
  readonly url: string
  /** SIGKILL to every process of it. */
  readonly kill: Effect.Effect<void>
  /** A fast shutdown, as for an upgrade. */
  readonly stop: Effect.Effect<void>
  /** After `kill` or `stop`: the same port and data. */
  readonly start: Effect.Effect<void, StartupError>
  /** SIGSTOP to every process of it: connections stay open and nothing answers, until `resume`. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
}

/** The postmaster first, so that it starts none anew. */
const processesOf = (postmaster: number): ReadonlyArray<number> => {
  const listed = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n")
  const pairs = listed.map((line) => line.trim().split(/\s+/).map(Number))
  return [postmaster, ...pairs.flatMap(([pid = 0, parent]) => (parent === postmaster ? [pid] : []))]
}

const signal = (postmaster: number, name: NodeJS.Signals): void => {
  for (const pid of processesOf(postmaster)) {
    try {
      process.kill(pid, name)
    } catch {
      // It has ended since it was listed.
    }
  }
}

/** Up when this returns; gone with the scope. */
export const make = (
  settings: Readonly<Record<string, string>> = {}
): Effect.Effect<FragilePostgres, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(Effect.sync(Postgres.newFolder), (made) =>
      Effect.sync(() => rmSync(made, { recursive: true, force: true }))
    )
    const port = yield* Effect.promise(() => freePort())
    const options = yield* Postgres.serverOptions(folder, port, { ...Postgres.forgetful, ...settings })
    let running = { scope: yield* Scope.make(), postmaster: 0 }
    const begin = Effect.gen(function* () {
      const scope = yield* Scope.make()
      const postmaster = yield* Scope.extend(PostgresServer.start(options), scope)
      running = { scope, postmaster }
    })
    const end = Effect.suspend(() => Scope.close(running.scope, Exit.void))
    yield* begin
    yield* Effect.addFinalizer(() => end)
    return {
      url: Postgres.urlAt(port, "postgres"),
      kill: Effect.zipRight(
        Effect.sync(() => signal(running.postmaster, "SIGKILL")),
        end
      ),
      stop: end,
      // What is left of a killed one may hold its memory for a moment.
      start: Effect.retry(begin, Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(20))),
      pause: Effect.sync(() => signal(running.postmaster, "SIGSTOP")),
      resume: Effect.sync(() => signal(running.postmaster, "SIGCONT"))
    }
  })
