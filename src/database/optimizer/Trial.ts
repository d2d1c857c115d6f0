import type * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Plans from "../Plans.ts"
import { type Index, statementMillisMax, type Table } from "./Catalog.ts"
import type { Clause } from "./Predicates.ts"
import { definitionOf, type Proposal } from "./Proposals.ts"

/** Rows of a table that the copy holds at most, spread over it. */
export const sampleRowsMax = 50_000

/** Bytes of a table that the copy holds at most, by its average row. */
export const sampleBytesMax = 64 * 1_048_576

/** How many times cheaper, and faster where it was run, a statement must be before an index is advised. */
export const gainMin = 2

/** A statement may cost this many times as much after an index is dropped. */
const lossMax = 1.05

/** Values that a statement's conditions are run with, each taken from a row of the copy. */
const probesMax = 5

/** Runs with each of these values. The first reads what the others find in memory. */
const runsEach = 3

/** One statement on the copy: what the planner expects, and what a run took where it could be run. */
export interface Measured {
  readonly cost: number
  readonly millis: number | null
}

/** What became of a proposal on the copy. */
export interface Outcome {
  readonly usesIndex: boolean
  /** With one of its `constants` the statement finds its rows by a partial index that there is. */
  readonly isServed: boolean
  readonly before: Measured
  readonly after: Measured
  readonly sampleRows: number
}

/** Why the index is not advised; undefined when it is. */
export const objection = ({ after, before, isServed, usesIndex }: Outcome): string | undefined => {
  if (isServed) return "a partial index serves it already, if the value that this one is made for is a constant"
  if (!usesIndex) return "the planner does not use it"
  const cheaper = before.cost / after.cost
  if (cheaper < gainMin) return `it makes the statement ${cheaper.toFixed(1)} times cheaper only`
  if (before.millis === null || after.millis === null) return undefined
  const faster = before.millis / after.millis
  return faster < gainMin ? `it makes the statement ${faster.toFixed(1)} times faster only` : undefined
}

/**
 * Milliseconds by the runs with each value: the mean of the fastest with each, null where nothing was run. What else
 * the machine does only ever adds to a run, at times more than it takes by an index.
 */
export const meanMillis = (runs: ReadonlyArray<ReadonlyArray<number>>): number | null =>
  runs.length === 0 ? null : runs.reduce((sum, each) => sum + Math.min(...each), 0) / runs.length

/** The copy of some tables; it is gone when the effect that `on` runs is over, however it ends. */
export interface Copy {
  /** Builds the index, plans and runs its statement with and without it, and takes it away again. */
  readonly build: (proposal: Proposal) => Effect.Effect<Outcome, SqlError>
  /** Of each statement its cost without the indexes over that with them; null for one that the copy cannot stand in for. */
  readonly drop: (
    indexes: ReadonlyArray<Index>,
    statements: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<number | null>, SqlError>
}

/** Says with which result a transaction is rolled back. */
class Undo<A> extends Data.Error<{ readonly result: A }> {}

/** The result of the effect, with all that it did undone. */
const undone = <A, E, R>(sql: SqlClient.SqlClient, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
  sql.withTransaction(Effect.flatMap(effect, (result) => new Undo({ result }))).pipe(
    Effect.catchIf(
      (error): error is Undo<A> => error instanceof Undo,
      ({ result }) => Effect.succeed(result)
    )
  )

/** A name as SQL may always write it. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
const copyOf = ({ name }: { readonly name: string }): string => `pg_temp.${quoted(name)}`

const failed = (message: string): SqlError => new SqlError({ cause: new Error(message), message })

const identifier = (name: string): string => {
  const written = name.replace(/\W/g, "\\$&")
  return /^[a-z_][a-z0-9_]*$/.test(name) ? `(?:"${written}"|${written})` : `"${written.replaceAll('"', '""')}"`
}

/**
 * The statement with the copies in the place of those tables that it names with their schema; without one a temporary
 * table is found first anyway. `planOf` sees whether it was all.
 */
const redirected = (text: string, tables: ReadonlyArray<Table>): string =>
  tables.reduce((all, table) => {
    const path = `(?<![\\w$".])${identifier(table.schema)}\\s*\\.\\s*${identifier(table.name)}(?![\\w$"])`
    return all.replace(new RegExp(path, "gi"), () => copyOf(table))
  }, text)

/** The plan of a statement on the copy. Fails when it reads anything else, as it does through a view. */
const planOf = (sql: SqlClient.SqlClient, text: string, tables: ReadonlyArray<Table>) =>
  Effect.tap(Plans.nodeOf(sql, redirected(text, tables)), (plan) => {
    const other = Plans.relationsOf(plan).find(({ schema }) => schema !== "pg_temp")
    if (other === undefined) return Effect.void
    return failed(
      `its statement reads ${other.schema}.${other.name} through a view or a partitioned table, not by its name`
    )
  })

const sampleRows = ({ bytes, rows }: Table): number =>
  Math.min(sampleRowsMax, Math.ceil(sampleBytesMax / Math.max(1, bytes / Math.max(1, rows))))

/** Everything of a definition behind the table's name; the copy's index has another name and table. */
const form = (definition: string): string => definition.slice(definition.indexOf(" USING "))

/** Takes the copy's index away that is made as this one. */
const without = (sql: SqlClient.SqlClient, index: Pick<Index, "table" | "definition" | "unique">) =>
  Effect.gen(function* () {
    const names = yield* sql.unsafe<{ readonly name: string; readonly definition: string; readonly unique: boolean }>(
      `select c.relname as name, pg_get_indexdef(i.indexrelid) as definition, i.indisunique as unique
       from pg_index i join pg_class c on c.oid = i.indexrelid
       where i.indrelid = $1::regclass and not exists (select from pg_constraint where conindid = i.indexrelid)`,
      [copyOf({ name: index.table })]
    )
    const same = names.find((one) => form(one.definition) === form(index.definition) && one.unique === index.unique)
    if (same === undefined) return yield* failed("the copy has no such index")
    yield* sql.unsafe(`drop index pg_temp.${quoted(same.name)}`).unprepared
  })

/** The table with its indexes and some of its rows, under its own name, which a temporary table takes first. */
const copy = (sql: SqlClient.SqlClient, table: Table) =>
  Effect.gen(function* () {
    const source = table.path
    const limit = sampleRows(table)
    const share = Math.min(100, (limit / Math.max(1, table.rows)) * 110)
    const columns = yield* sql.unsafe<{ readonly name: string }>(
      `select attname as name from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped
       and attgenerated = '' order by attnum`,
      [source]
    )
    const [heirs] = yield* sql.unsafe("select 1 from pg_inherits where inhparent = $1::regclass limit 1", [source])
    if (heirs !== undefined) return yield* failed(`other tables inherit from ${table.name}`)
    const list = columns.map(({ name }) => quoted(name)).join(", ")
    yield* sql.unsafe(`create temporary table ${quoted(table.name)} (like ${source} including all) on commit drop`)
      .unprepared
    // The copy's are valid: a unique one, whose build has failed since it cannot be, would refuse the rows.
    const broken = yield* sql.unsafe<Pick<Index, "definition" | "unique">>(
      `select pg_get_indexdef(indexrelid) as definition, indisunique as unique from pg_index
       where indrelid = $1::regclass and not indisvalid`,
      [source]
    )
    yield* Effect.forEach(broken, (index) => without(sql, { ...index, table: table.name }), { discard: true })
    yield* sql.unsafe(
      `insert into ${copyOf(table)} (${list}) overriding system value select ${list} from ${source}` +
        `${share < 100 ? ` tablesample system (${share}) repeatable (1)` : ""} limit ${limit}`
    ).unprepared
    yield* sql.unsafe(`analyze ${copyOf(table)}`).unprepared
  })

/** The condition with a value of the row that `probe` names; undefined where we can make up none. */
const probed = ({ isConstant, left, operator, right }: Clause, n: number): string | undefined => {
  if (isConstant || operator.startsWith("IS ") || right === "true" || right === "false") return undefined
  return operator === "@@" ? undefined : `quote_literal((${left})::text) as v${n}`
}

const condition = ({ left, operator, right }: Clause, value: string | null | undefined): string | undefined => {
  if (value === undefined) return operator === "@@" ? undefined : `${left} ${operator} ${right}`
  if (value === null) return undefined
  if (operator.startsWith("~~")) return `${left} ${operator} ('%' || ${value} || '%')`
  // A text is not a pattern: what it says between dots is found in it all the same.
  if (operator.startsWith("~")) return `${left} ${operator} '^'`
  return `${left} ${operator} ${value}`
}

/** Selects with values from rows of the copy in place of the statement's own; none where no values can be made up. */
const probesOf = (sql: SqlClient.SqlClient, { clauses, table }: Proposal) =>
  Effect.gen(function* () {
    const values = clauses.map(probed)
    const wanted = values.filter((text) => text !== undefined)
    if (wanted.length === 0) return []
    const rows = yield* sql.unsafe<Readonly<Record<string, string | null>>>(
      `select ${wanted.join(", ")} from (select *, row_number() over () as connect_row, count(*) over () as connect_rows
       from ${copyOf(table)}) r where connect_row % greatest(connect_rows / ${probesMax}, 1) = 0 limit ${probesMax}`
    ).unprepared
    return rows.flatMap((row) => {
      const found = clauses.map((clause, n) => condition(clause, values[n] === undefined ? undefined : row[`v${n}`]))
      return found.includes(undefined) ? [] : [`select * from ${copyOf(table)} where ${found.join(" and ")}`]
    })
  })

const measure = (
  sql: SqlClient.SqlClient,
  tables: ReadonlyArray<Table>,
  statement: string,
  probes: ReadonlyArray<string>
) =>
  Effect.gen(function* () {
    const plan = yield* planOf(sql, statement, tables)
    const runs = yield* Effect.forEach(probes, (probe) => Effect.replicateEffect(Plans.runMillis(sql, probe), runsEach))
    return { plan, measured: { cost: plan["Total Cost"], millis: meanMillis(runs) } }
  })

/** Whether a partial index of the copy answers the statement with one of its constants. */
const served = (sql: SqlClient.SqlClient, tables: ReadonlyArray<Table>, { constants, table }: Proposal) =>
  Effect.gen(function* () {
    if (constants.length === 0) return false
    const partial = yield* sql.unsafe<{ readonly name: string }>(
      `select c.relname as name from pg_index i join pg_class c on c.oid = i.indexrelid
       where i.indrelid = $1::regclass and i.indpred is not null`,
      [copyOf(table)]
    )
    const plans = yield* Effect.forEach(constants, (text) => planOf(sql, text, tables))
    const used = new Set(plans.flatMap(Plans.nodesOf).map((node) => node["Index Name"]))
    return partial.some(({ name }) => used.has(name))
  })

const candidate = "connect_candidate"

const build = (sql: SqlClient.SqlClient, tables: ReadonlyArray<Table>, proposal: Proposal) =>
  undone(
    sql,
    Effect.gen(function* () {
      const { statement, table } = proposal
      const [held] = yield* sql.unsafe<{ readonly n: number }>(`select count(*)::int as n from ${copyOf(table)}`)
        .unprepared
      const probes = yield* probesOf(sql, proposal)
      const isServed = yield* served(sql, tables, proposal)
      const before = yield* measure(sql, tables, statement, probes)
      const definition = definitionOf({ ...proposal, table: { ...table, path: copyOf(table) } })
      yield* sql.unsafe(`create index ${candidate} ${definition}`).unprepared
      yield* sql.unsafe(`analyze ${copyOf(table)}`).unprepared
      const after = yield* measure(sql, tables, statement, probes)
      return {
        usesIndex: Plans.nodesOf(after.plan).some((node) => node["Index Name"] === candidate),
        isServed,
        before: before.measured,
        after: after.measured,
        sampleRows: held?.n ?? 0
      }
    })
  )

const drop = (
  sql: SqlClient.SqlClient,
  tables: ReadonlyArray<Table>,
  indexes: ReadonlyArray<Index>,
  statements: ReadonlyArray<string>
) =>
  undone(
    sql,
    Effect.gen(function* () {
      const costOf = (text: string) => Effect.map(planOf(sql, text, tables), (plan) => plan["Total Cost"])
      const before = yield* Effect.forEach(statements, (text) => Effect.orElseSucceed(costOf(text), () => null))
      yield* Effect.forEach(indexes, (index) => without(sql, index), { discard: true })
      return yield* Effect.forEach(statements, (text, n) => {
        const cost = before[n] ?? null
        return cost === null ? Effect.succeed(null) : Effect.map(costOf(text), (now) => now / Math.max(0.01, cost))
      })
    })
  )

/** Whether nothing is lost without the indexes, from `Copy.drop`. */
export const isHarmless = (loss: number): boolean => loss <= lossMax

/** The name that two of the tables have, which the copies cannot. */
export const doubleOf = (tables: ReadonlyArray<Table>): string | undefined =>
  tables.find(({ name }, n) => tables.findIndex((other) => other.name === name) < n)?.name

/**
 * Runs the effect on a copy of these tables: temporary tables inside one transaction, which is rolled back. The tables
 * themselves are only read, and nobody else ever sees the copy: a killed process or a cut connection leaves nothing.
 */
export const on = <A, E>(
  sql: SqlClient.SqlClient,
  tables: ReadonlyArray<Table>,
  effect: (copy: Copy) => Effect.Effect<A, E>
): Effect.Effect<A, E | SqlError> =>
  undone(
    sql,
    Effect.gen(function* () {
      const double = doubleOf(tables)
      if (double !== undefined) return yield* failed(`it would have two tables ${double}`)
      yield* sql.unsafe(`set local statement_timeout = ${statementMillisMax}`).unprepared
      yield* sql.unsafe("set local lock_timeout = '1s'").unprepared
      yield* Plans.genericPlans(sql)
      yield* Effect.forEach(tables, (table) => copy(sql, table), { discard: true })
      return yield* effect({
        build: (proposal) => build(sql, tables, proposal),
        drop: (indexes, statements) => drop(sql, tables, indexes, statements)
      })
    })
  )
