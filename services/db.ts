import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Settings from "../src/config/Settings.ts"
import { StartupError } from "../src/config/StartupError.ts"
import { Database } from "../src/database/Database.ts"
import { fingerprint } from "../src/database/Fingerprint.ts"
import * as Optimizer from "../src/database/Optimizer.ts"
import { gainMin } from "../src/database/optimizer/Trial.ts"
import { isMain } from "./isMain.ts"
import { megabytes, percent, table } from "./table.ts"
import * as Tool from "./tool.ts"

const help = `Looks into the database.

  bun run db report [--json]    what takes time: statements, tables, dead rows, connections
  bun run db indexes [--json]   how indexes are used, which to make and which to drop

Works on DATABASE_URL where it is set, otherwise on the embedded database in DATA_DIR (.data), whether its server is
running or not. It changes nothing. An index is advised only after it was built on a copy of the table (rows of it, in a
transaction that is rolled back), where the planner used it and it made its statement ${gainMin} times cheaper and faster.`

const commands = ["report", "indexes"] as const

interface Asked {
  readonly command: (typeof commands)[number]
  readonly json: boolean
}

const parse = (args: ReadonlyArray<string>): Effect.Effect<Asked, StartupError> => {
  const json = args.includes("--json")
  const [word, ...rest] = args.filter((one) => one !== "--json")
  const command = commands.find((known) => known === word)
  return command === undefined || rest.length > 0
    ? new StartupError({ what: "That is not how it is used", where: args.join(" ") || "(no words)", fix: help })
    : Effect.succeed({ command, json })
}

/** Rows of one table at most. */
const shownMax = 15

/** What is worth a line: tables that are large enough for it to matter. */
const rowsWorthIt = 1_000

const statementTables = (workload: Optimizer.Report["workload"]): ReadonlyArray<string> => {
  if (workload._tag === "Unknown") return [`Statements\n  ${workload.fix}`]
  const columns = ["total ms", "calls", "mean ms", "rows/call", "buffers", "statement"]
  const rows = (all: typeof workload.statements) =>
    all
      .slice(0, shownMax)
      .map((one) => [
        one.totalMillis,
        one.calls,
        one.meanMillis,
        one.rows / Math.max(1, one.calls),
        percent(one.hitRate),
        fingerprint(one.text)
      ])
  const slowest = [...workload.statements].sort((a, b) => b.meanMillis - a.meanMillis)
  return [
    table("Statements by the time they took together", columns, rows(workload.statements), "none yet"),
    table("Statements by the time of one call", columns, rows(slowest), "none yet"),
    ...(workload.fix === null ? [] : [`Statements that are not shown\n  ${workload.fix}`])
  ]
}

/** A name as it is found: with its schema, where that is not the one that names without a schema mean. */
const named = (schema: string, name: string, usual: string | null): string =>
  schema === usual ? name : `${schema}.${name}`

const tableTables = ({ schema, tables }: Optimizer.Report): ReadonlyArray<string> => {
  const nameOf = (one: Optimizer.Report["tables"][number]) => named(one.schema, one.name, schema)
  const large = tables.filter(({ rows }) => rows >= rowsWorthIt)
  const scanned = large
    .filter(({ sequentialScans }) => sequentialScans > 0)
    .sort((a, b) => b.sequentialRows - a.sequentialRows)
    .slice(0, shownMax)
  const dead = tables
    .filter(({ deadRows, liveRows }) => deadRows >= rowsWorthIt && deadRows / (deadRows + liveRows) > 0.1)
    .sort((a, b) => b.deadRows - a.deadRows)
    .slice(0, shownMax)
  const biggest = [...tables].sort((a, b) => b.bytes - a.bytes).slice(0, shownMax)
  return [
    table(
      "Tables",
      ["table", "rows", "size", "buffers", "index scans"],
      biggest.map((one) => [
        nameOf(one),
        one.rows,
        megabytes(one.bytes),
        percent(one.blocksHit + one.blocksRead === 0 ? null : one.blocksHit / (one.blocksHit + one.blocksRead)),
        one.indexScans
      ]),
      "none"
    ),
    table(
      `Tables of ${rowsWorthIt} rows and more that were read as a whole`,
      ["table", "rows", "times", "rows read"],
      scanned.map((one) => [nameOf(one), one.rows, one.sequentialScans, one.sequentialRows]),
      "none"
    ),
    table(
      "Dead rows: more than a tenth of the table",
      ["table", "dead", "live", "vacuumed"],
      dead.map((one) => [nameOf(one), one.deadRows, one.liveRows, one.vacuumedAt ?? "never"]),
      "none"
    )
  ]
}

const reportText = (found: Optimizer.Report): string => {
  const { activity, hours, workload } = found
  const connections = activity.connections.map(({ count, state }) => `${count} ${state}`).join(", ")
  const used = activity.connections.reduce((sum, { count }) => sum + count, 0)
  return [
    `Counted over ${hours.toFixed(1)} hours. Blocks found in the server's buffers: ${percent(activity.hitRate)}. ` +
      `Connections to this database: ${used} (${connections}); the server takes ${activity.connectionsMax} to all.`,
    ...statementTables(workload),
    ...tableTables(found),
    table(
      "Transactions open for more than a second",
      ["pid", "seconds", "state", "waits for", "statement"],
      activity.transactions.map((one) => [one.pid, one.seconds, one.state, one.waits ?? "", one.fingerprint]),
      "none"
    )
  ].join("\n\n")
}

const advisedText = ({ outcome, reason, sql, statement, tableRows }: Optimizer.Advised): string => {
  const { after, before, sampleRows } = outcome
  const time =
    before.millis === null || after.millis === null
      ? ""
      : `; ${before.millis.toFixed(2)} ms -> ${after.millis.toFixed(2)} ms a run`
  return [
    `  ${sql};`,
    `    ${reason}`,
    `    for: ${fingerprint(statement)}`,
    `    tried on ${sampleRows} of ${Math.round(tableRows)} rows: cost ${before.cost.toFixed(0)} -> ${after.cost.toFixed(0)}${time}`
  ].join("\n")
}

const droppableText = ({ redundant, sql, statements }: Optimizer.Droppable): string => {
  const { index, keeps, kind } = redundant
  const why =
    keeps === null
      ? "nobody has used it, unless it is newer than these counts; a replica or a yearly job may all the same"
      : `${keeps.name} ${kind === "duplicate" ? "is the same" : "begins with the same columns"}`
  return `  ${sql};\n    ${why}; ${megabytes(index.bytes)}; none of ${statements} known statements becomes dearer without it`
}

const invalidText = ({ index, sql }: Optimizer.Invalid): string =>
  `  ${sql};\n    its build has failed: no statement uses it, but writes may keep it up; or drop it; ${megabytes(index.bytes)}`

const section = (title: string, lines: ReadonlyArray<string>, none: string): string =>
  `${title}\n${lines.length === 0 ? `  ${none}` : lines.join("\n")}`

const indexesText = (found: Optimizer.IndexReport): string =>
  [
    table(
      `Indexes, as used over ${found.hours.toFixed(1)} hours`,
      ["table", "index", "scans", "size", "columns"],
      found.indexes.map((index) => [
        named(index.schema, index.table, found.schema),
        index.name,
        index.scans,
        megabytes(index.bytes),
        index.columns.map(({ text }) => text).join(", ") + (index.predicate === null ? "" : ` where ${index.predicate}`)
      ]),
      "none"
    ),
    section("Indexes to rebuild", found.invalid.map(invalidText), "none"),
    section("Indexes to make, each tried", found.create.map(advisedText), "none"),
    section("Indexes to drop, each tried", found.drop.map(droppableText), "none"),
    table(
      "Tried or looked at, and not advised",
      ["what", "because"],
      found.rejected.map(({ sql, why }) => [
        sql.replace(/^create index concurrently |^drop index concurrently /, ""),
        why
      ]),
      "none"
    ),
    ...(found.blind === null ? [] : [`Slow statements that were not looked at\n  ${found.blind}`])
  ].join("\n\n")

/** Our own server counts statements; the view of what it counted may not be there yet. */
const prepare = Effect.gen(function* () {
  const { backend } = yield* Effect.flatMap(Database, ({ stats }) => stats)
  const sql = yield* SqlClient.SqlClient
  if (backend === "embedded") yield* Effect.ignore(sql`create extension if not exists pg_stat_statements`)
})

const look = ({ command, json }: Asked) =>
  Effect.gen(function* () {
    yield* prepare
    const { indexes, report } = yield* Optimizer.Optimizer
    if (command === "report") {
      const found = yield* report
      return json ? JSON.stringify(found) : reportText(found)
    }
    const found = yield* indexes((what) => Tool.print(process.stderr, `… ${what}`))
    return json ? JSON.stringify(found) : indexesText(found)
  }).pipe(Effect.provide(Optimizer.layer.pipe(Layer.provideMerge(Tool.database), Layer.provide(Settings.layer))))

const program = (args: ReadonlyArray<string>) =>
  args.some((word) => word === "--help" || word === "-h")
    ? Tool.print(process.stdout, help)
    : Effect.flatMap(parse(args), look).pipe(
        Effect.flatMap((text) => Tool.print(process.stdout, text)),
        Tool.saying
      )

if (isMain(import.meta))
  NodeRuntime.runMain(program(process.argv.slice(2)), { disableErrorReporting: true, disablePrettyLogger: true })
