import { afterAll, expect } from "bun:test"
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as DataDir from "../../../layers/database/DataDir.ts"
import * as EmbeddedPostgres from "../../../layers/database/EmbeddedPostgres.ts"
import * as PostgresBinaries from "../../../layers/database/PostgresBinaries.ts"
import * as DatabaseLayer from "../../../layers/Database.ts"
import * as Settings from "../../../src/config/Settings.ts"
import { it } from "../../kit/effect.ts"

/** A folder that only its owner may enter, with spaces in its path. */
const parent = mkdtempSync(join(tmpdir(), "connect data "))

/** One data folder for the tests that do not mind what is in it: making one costs half a second. */
const dataDir = join(parent, "deep er")

afterAll(() => rmSync(parent, { recursive: true, force: true }))

const layer = (dataDir: string) =>
  DatabaseLayer.layer.pipe(
    Layer.provide(Settings.layerTest((settings) => ({ ...settings, database: { ...settings.database, dataDir } })))
  )

const withDatabase = <A, E>(dataDir: string, effect: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.scoped(Effect.provide(effect, layer(dataDir)))

interface Program {
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">
  /** The next line, undefined at the end. */
  readonly line: Effect.Effect<string | undefined>
  readonly errors: Effect.Effect<string>
}

/** The program in holder.ts on that folder; killed with the scope. */
const holder = (dataDir: string): Effect.Effect<Program, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        Bun.spawn(["bun", join(import.meta.dir, "holder.ts")], {
          env: { ...process.env, NODE_ENV: "test", DATA_DIR: dataDir, DATABASE_URL: "" },
          stdin: "ignore",
          stdout: "pipe",
          stderr: "pipe"
        })
      ),
      (child) =>
        Effect.promise(() => {
          child.kill("SIGKILL")
          return child.exited
        })
    ),
    (child) => {
      const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader()
      let rest = ""
      const line = async (): Promise<string | undefined> => {
        const end = rest.indexOf("\n")
        if (end >= 0) {
          const text = rest.slice(0, end)
          rest = rest.slice(end + 1)
          return text
        }
        const { done, value } = await reader.read()
        if (done) return undefined
        rest += value
        return line()
      }
      return {
        process: child,
        line: Effect.promise(line),
        errors: Effect.promise(() => new Response(child.stderr).text())
      }
    }
  )

const socketFolderOf = (dataDir: string): string =>
  (JSON.parse(readFileSync(join(dataDir, "lock.json"), "utf8")) as DataDir.Holder).socketFolder ?? ""

const postmasterOf = (dataDir: string): number =>
  Number(readFileSync(join(dataDir, "postgres", "postmaster.pid"), "utf8").split("\n")[0])

it.live("letters of every script are the same in both cases, and are ordered by their code points", () =>
  Effect.gen(function* () {
    const [row] = yield* withDatabase(
      dataDir,
      Effect.flatMap(
        SqlClient.SqlClient,
        (sql) => sql`
        select lower('ÉCOLE Привет ΛΌΓΟΣ') as lower,
          to_tsvector('simple', 'Привет École') @@ websearch_to_tsquery('simple', 'ПРИВЕТ école') as found,
          array(select w from unnest(array['é', 'Z', 'a', 'я', 'z']) as t (w) order by w) as ordered`
      )
    )
    expect(row).toEqual({ lower: "école привет λόγος", found: true, ordered: ["Z", "a", "z", "é", "я"] })
  })
)

it.live("the server is private while it runs and gone afterwards; the data stays", () =>
  Effect.gen(function* () {
    const [socketFolder, postmaster] = yield* withDatabase(
      dataDir,
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`create table if not exists kept (n int)`
        yield* sql`insert into kept values (7)`
        expect(
          yield* sql`select current_setting('fsync') as f, current_setting('synchronous_commit') as s, current_setting('listen_addresses') as l`
        ).toEqual([{ f: "on", s: "on", l: "" }])
        const socket = socketFolderOf(dataDir)
        expect(statSync(socket).mode & 0o777).toBe(0o700)
        return [socket, postmasterOf(dataDir)] as const
      })
    )
    expect([existsSync(socketFolder), existsSync(join(dataDir, "lock.json"))]).toEqual([false, false])
    expect(DataDir.startOf(postmaster)).toBeUndefined()
    expect(readdirSync(dataDir).sort()).toEqual(["postgres", "postgres.log"])
    expect(
      yield* withDatabase(
        dataDir,
        Effect.flatMap(SqlClient.SqlClient, (sql) => sql`select n from kept`)
      )
    ).toEqual([{ n: 7 }])
  })
)

it.live("a folder in use is refused by name of the process, and its holder is not disturbed", () =>
  Effect.gen(function* () {
    const first = yield* holder(dataDir)
    expect(yield* first.line).toBe(`ready ${first.process.pid}`)
    const second = yield* holder(dataDir)
    const errors = yield* second.errors
    expect(errors).toContain(`in use by process ${first.process.pid}`)
    expect(errors).toContain(dataDir)
    expect(errors).toContain("DATA_DIR")
    expect(errors).toContain("DATABASE_URL")
    expect(yield* Effect.promise(() => second.process.exited)).toBe(1)
    first.process.kill("SIGTERM")
    expect(yield* Effect.promise(() => first.process.exited)).toBe(0)
    expect(existsSync(join(dataDir, "lock.json"))).toBe(false)
  })
)

it.live("after kill -9 the next start takes over and has everything that was acknowledged", () =>
  Effect.gen(function* () {
    const first = yield* holder(dataDir)
    let last = ""
    for (let n = 0; n < 40; n++) last = (yield* first.line) ?? ""
    const acknowledged = Number(/^acknowledged (\d+)$/.exec(last)?.[1])
    const socketFolder = socketFolderOf(dataDir)
    first.process.kill("SIGKILL")
    yield* Effect.promise(() => first.process.exited)
    yield* withDatabase(
      dataDir,
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const [row] = yield* sql<{
          n: number
          newest: number
        }>`select count(*)::int as n, max(n) as newest from numbers`
        expect(row?.n).toBeGreaterThanOrEqual(acknowledged)
        expect(row?.n).toBe(row?.newest ?? 0)
        expect(socketFolderOf(dataDir)).not.toBe(socketFolder)
      })
    )
    expect(existsSync(socketFolder)).toBe(false)
  })
)

it.live("the programs may stand in a folder that is closed to others as well", () =>
  Effect.gen(function* () {
    const found = Option.getOrThrow(yield* PostgresBinaries.locate(join(parent, "lib")))
    const programs = join(parent, "check out")
    cpSync(join(dirname(found.postgres), ".."), join(programs, "native"), { recursive: true, verbatimSymlinks: true })
    const binaries = {
      initdb: join(programs, "native", "bin", "initdb"),
      postgres: join(programs, "native", "bin", "postgres"),
      libraryPath: Option.none()
    }
    yield* Effect.scoped(
      Effect.gen(function* () {
        const holding = yield* DataDir.acquire(join(parent, "another"))
        const address = yield* EmbeddedPostgres.start(holding, binaries)
        const { database } = yield* Settings.Settings
        yield* DatabaseLayer.connect(address, database, "embedded")
      }).pipe(Effect.provide(Settings.layerTest()))
    )
  })
)

it.live("what was never finished making a data folder is cleared away", () =>
  Effect.gen(function* () {
    rmSync(dataDir, { recursive: true })
    const first = yield* holder(dataDir)
    yield* Effect.sync(() => existsSync(dataDir) && readdirSync(dataDir).some((name) => name.includes(".init-"))).pipe(
      Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("2 millis") })
    )
    first.process.kill("SIGKILL")
    yield* Effect.promise(() => first.process.exited)
    yield* withDatabase(dataDir, Effect.void)
    expect(readdirSync(dataDir).sort()).toEqual(["postgres", "postgres.log"])
  })
)
