import { expect } from "bun:test"
import { existsSync } from "node:fs"
import { join } from "node:path"
import Pg from "pg"
import * as Effect from "effect/Effect"
import * as DatabaseLayer from "../../layers/Database.ts"
import * as Settings from "../../src/config/Settings.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const program = join(import.meta.dir, "..", "..", "services", "db.ts")

const start = (url: string, words: ReadonlyArray<string>, dataDir = ".data") =>
  Bun.spawn(["bun", program, ...words], {
    env: { ...process.env, NODE_ENV: "test", DATABASE_URL: url, DATA_DIR: dataDir, REDIS_HOST: "" },
    stdout: "pipe",
    stderr: "pipe"
  })

/** Runs the program; its output, its complaints and its exit code. */
const db = (url: string, ...words: ReadonlyArray<string>) => run(start(url, words))

/** The same without a DATABASE_URL. */
const embedded = (dataDir: string, ...words: ReadonlyArray<string>) => run(start("", words, dataDir))

const run = (child: ReturnType<typeof start>) =>
  Effect.promise(async () => {
    const [output, complaint] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text()
    ])
    return { output, complaint, code: await child.exited }
  })

const query = (url: string, ...texts: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const client = new Pg.Client({ connectionString: url })
    await client.connect()
    const results = []
    for (const text of texts) results.push((await client.query<Record<string, unknown>>(text)).rows)
    await client.end()
    return results
  })

/** Rows enough that an index pays, with a foreign key that has none. */
const rows = [
  "create extension if not exists pg_stat_statements",
  "create table parents (id int primary key)",
  "create table children (id int primary key, parent_id int not null references parents)",
  "insert into parents select generate_series(1, 2000)",
  "insert into children select n, 1 + n % 2000 from generate_series(1, 20000) n",
  "analyze"
]

const untouched = "select (select count(*)::int from pg_indexes where schemaname = 'public') as indexes"

it.live("advises for people and for programs, and changes nothing", () =>
  Effect.gen(function* () {
    const url = yield* Postgres.emptyUrl
    yield* query(
      url,
      ...rows,
      "create index broken on children (id, parent_id)",
      "update pg_index set indisvalid = false where indexrelid = 'broken'::regclass"
    )
    const indexes = yield* db(url, "indexes")
    expect(indexes.output).toContain('reindex index concurrently "public"."broken";')
    expect(indexes.output).toContain("create index concurrently on public.children using btree (parent_id);")
    expect(indexes.output).toMatch(/tried on 20000 of 20000 rows: cost \d+ -> \d+; [\d.]+ ms -> [\d.]+ ms a run/)
    expect(indexes.complaint).toContain("trying an index on public.children")
    expect(indexes.code).toBe(0)
    const report = yield* db(url, "report", "--json")
    expect(JSON.parse(report.output)).toMatchObject({ workload: { _tag: "Known" }, activity: { connectionsMax: 100 } })
    expect((yield* db(url, "report")).output).toContain("Statements by the time they took together")
    expect(yield* query(url, untouched)).toEqual([[{ indexes: 3 }]])
  })
)

it.live("Ctrl-C in the middle of a trial leaves no copy", () =>
  Effect.gen(function* () {
    const url = yield* Postgres.emptyUrl
    yield* query(url, ...rows)
    yield* Effect.promise(async () => {
      const child = start(url, ["indexes"])
      for await (const piece of child.stderr) {
        if (new TextDecoder().decode(piece).includes("trying")) break
      }
      child.kill("SIGINT")
      return child.exited
    })
    const copies = "select relname from pg_class where relpersistence = 't'"
    expect(yield* query(url, copies)).toEqual([[]])
  })
)

it.live("says how it is used, and what is wrong with the database", () =>
  Effect.gen(function* () {
    const nowhere = "postgres://nobody@127.0.0.1:1/none"
    const [asked, wrong, away] = yield* Effect.all(
      [db(nowhere, "--help"), db(nowhere, "everything"), db(nowhere, "report")],
      { concurrency: 3 }
    )
    expect(asked).toMatchObject({ code: 0, complaint: "" })
    expect(asked.output).toContain("bun run db indexes")
    expect(wrong.code).toBe(1)
    expect(wrong.complaint).toContain("That is not how it is used: everything")
    expect(away.code).toBe(1)
    expect(away.complaint).toContain("Postgres is not reachable: 127.0.0.1:1")
    expect(away.complaint).toContain("DATABASE_URL")
  })
)

it.live("where no database is yet it makes none, and one that is there stays as it is", () =>
  Effect.gen(function* () {
    const folder = join(Postgres.newFolder(), "none")
    const none = yield* embedded(folder, "report")
    expect([none.code, none.output]).toEqual([1, ""])
    expect(none.complaint).toContain(`There is no database yet: ${folder}`)
    expect(none.complaint).toContain("bun run start")
    expect(existsSync(folder)).toBe(false)
    // As an older program left it: without the tables of this one.
    yield* Effect.scoped(
      Effect.gen(function* () {
        const { database } = yield* Settings.Settings
        yield* DatabaseLayer.embeddedSource({ ...database, dataDir: folder })
      }).pipe(Effect.provide(Settings.layerTest()))
    )
    const old = yield* embedded(folder, "report", "--json")
    expect(old.complaint).toBe("")
    expect(JSON.parse(old.output)).toMatchObject({ schema: "public", tables: [] })
  })
)

it.live("says which database is missing, and how statements come to be counted", () =>
  Effect.gen(function* () {
    const url = yield* Postgres.emptyUrl
    const missing = yield* db(url.replace(/\/[^/?]+(?=\?|$)/, "/nowhere"), "report")
    expect(missing.complaint).toContain("The database does not exist")
    expect(missing.complaint).toContain("correct DATABASE_URL")
    const blind = yield* db(url, "indexes")
    expect(blind.output).toContain("Run in this database: create extension pg_stat_statements")
    expect((yield* db(url, "report")).output).toContain("Run in this database: create extension pg_stat_statements")
  })
)

it.live("a role to which the server does not show the statements of others is told which right it lacks", () =>
  Effect.gen(function* () {
    const url = new URL(yield* Postgres.emptyUrl)
    yield* query(url.href, ...rows, "drop role if exists watcher", "create role watcher login")
    url.username = "watcher"
    const right = "grant pg_read_all_stats to watcher"
    const [report, indexes] = yield* Effect.all([db(url.href, "report"), db(url.href, "indexes")])
    expect([report.code, report.complaint]).toEqual([0, ""])
    expect(report.output).toContain(right)
    expect(indexes.output).toContain(right)
    expect(JSON.parse((yield* db(url.href, "indexes", "--json")).output)).toMatchObject({
      blind: expect.stringContaining(right)
    })
  })
)
