import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Array from "effect/Array"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { DatabaseUnavailable } from "../errors.ts"
import * as Activity from "./optimizer/Activity.ts"
import * as Catalog from "./optimizer/Catalog.ts"
import * as Proposals from "./optimizer/Proposals.ts"
import * as Redundant from "./optimizer/Redundant.ts"
import * as Trial from "./optimizer/Trial.ts"
import * as Workload from "./optimizer/Workload.ts"
import { fingerprint } from "./Fingerprint.ts"
import * as Plans from "./Plans.ts"
import { orUnavailable } from "./SqlErrors.ts"

/** How the database does, as its server has counted since `hours` ago. */
export interface Report {
  readonly hours: number
  /** The schema that names without one mean. */
  readonly schema: string | null
  readonly workload: Workload.Workload
  readonly tables: ReadonlyArray<Catalog.Table>
  readonly activity: Activity.Activity
}

/** An index to make, tried on a copy. */
export interface Advised {
  readonly sql: string
  readonly reason: string
  readonly statement: string
  readonly outcome: Trial.Outcome
  readonly tableRows: number
}

/** What looked like an index to make or to drop, and why it is not advised. */
export interface Rejected {
  readonly sql: string
  readonly reason: string
  readonly why: string
}

/** An index to drop: no known statement becomes dearer without it. */
export interface Droppable {
  readonly sql: string
  readonly redundant: Redundant.Redundant
  /** Statements that were planned without it. */
  readonly statements: number
}

/** An index whose build has failed, and what repairs that or, of a rebuild, clears it away. */
export interface Invalid {
  readonly sql: string
  readonly index: Catalog.Index
}

export interface IndexReport {
  readonly hours: number
  /** The schema that names without one mean. */
  readonly schema: string | null
  readonly indexes: ReadonlyArray<Catalog.Index>
  readonly unindexedKeys: ReadonlyArray<Catalog.ForeignKey>
  readonly invalid: ReadonlyArray<Invalid>
  readonly create: ReadonlyArray<Advised>
  readonly drop: ReadonlyArray<Droppable>
  readonly rejected: ReadonlyArray<Rejected>
  /** What would let us see slow statements, where the server does not count or does not show them. */
  readonly blind: string | null
}

/** Called with what is being done, for people who wait. */
export type Progress = (what: string) => Effect.Effect<void>

/** Looks into the database. Reads only; what it advises it has tried on a copy that is gone when it answers. */
export class Optimizer extends Context.Tag("@connect/Optimizer")<
  Optimizer,
  {
    readonly report: Effect.Effect<Report, DatabaseUnavailable>
    readonly indexes: (progress: Progress) => Effect.Effect<IndexReport, DatabaseUnavailable>
  }
>() {}

const statementsOf = (workload: Workload.Workload): ReadonlyArray<Workload.Statement> =>
  workload._tag === "Known" ? workload.statements : []

interface Planned {
  readonly statement: Workload.Statement
  readonly plan: Plans.PlanNode
}

/** The plans of the statements that have one without values; others, such as `interval $1`, are left out. */
const planned = (sql: SqlClient.SqlClient, statements: ReadonlyArray<Workload.Statement>) =>
  Catalog.reading(
    sql,
    Effect.zipRight(
      Plans.genericPlans(sql),
      Effect.map(
        Effect.forEach(statements, (statement) =>
          Plans.nodeOf(sql, statement.text).pipe(
            Effect.map((plan): ReadonlyArray<Planned> => [{ statement, plan }]),
            Effect.orElseSucceed((): ReadonlyArray<Planned> => [])
          )
        ),
        (all) => all.flat()
      )
    )
  )

/** What tells a table from others of its name. */
const keyOf = ({ name, schema }: { readonly name: string; readonly schema: string }): string =>
  JSON.stringify([schema, name])

const tablesOf = (plan: Plans.PlanNode, { tables }: Catalog.Catalog): ReadonlyArray<Catalog.Table> => {
  const keys = new Set(Plans.relationsOf(plan).map(keyOf))
  return tables.filter((table) => keys.has(keyOf(table)))
}

const createSql = (proposal: Proposals.Proposal): string =>
  `create index concurrently ${Proposals.definitionOf(proposal)}`

const pathOf = ({ name, schema }: Catalog.Index): string => `${Trial.quoted(schema)}.${Trial.quoted(name)}`

const dropSql = (index: Catalog.Index): string => `drop index concurrently ${pathOf(index)}`

/** What `reindex concurrently` leaves when it fails: the index that it was to replace is still there. */
const isLeftover = ({ name }: Catalog.Index): boolean => /_cc(?:new|old)\d*$/.test(name)

const invalid = ({ indexes }: Catalog.Catalog): ReadonlyArray<Invalid> =>
  indexes
    .filter(({ valid }) => !valid)
    .map((index) => ({
      sql: isLeftover(index) ? dropSql(index) : `reindex index concurrently ${pathOf(index)}`,
      index
    }))

type Tried = { readonly advised: Advised; readonly proposal: Proposals.Proposal } | { readonly rejected: Rejected }

const rejected = (proposal: Proposals.Proposal, why: string): Tried => ({
  rejected: { sql: createSql(proposal), reason: proposal.reason, why }
})

const tryOne = (copy: Trial.Copy, proposal: Proposals.Proposal): Effect.Effect<Tried> =>
  copy.build(proposal).pipe(
    Effect.map((outcome) => {
      const { reason, statement, table } = proposal
      const why = Trial.objection(outcome)
      return why === undefined
        ? { proposal, advised: { sql: createSql(proposal), reason, statement, outcome, tableRows: table.rows } }
        : rejected(proposal, why)
    }),
    Effect.catchAll((error) => Effect.succeed(rejected(proposal, `it could not be tried: ${messageOf(error)}`)))
  )

const messageOf = ({ cause, message }: SqlError): string => (cause instanceof Error ? cause.message : message)

/** A proposal, and the tables that its statement reads. */
interface Wanted {
  readonly proposal: Proposals.Proposal
  readonly tables: ReadonlyArray<Catalog.Table>
}

const proposalsOf = (catalog: Catalog.Catalog, plans: ReadonlyArray<Planned>) => {
  const all = [
    ...Redundant.unindexedKeys(catalog).flatMap((key) =>
      Proposals.forKey(key, catalog).map((proposal): Wanted => ({ proposal, tables: [proposal.table] }))
    ),
    ...plans.flatMap(({ plan, statement }) =>
      Proposals.forStatement(statement, plan, catalog).map((proposal): Wanted => ({
        proposal,
        tables: tablesOf(plan, catalog)
      }))
    )
  ]
  const seen = new Set<string>()
  return all.filter(({ proposal }) => {
    const definition = Proposals.definitionOf(proposal)
    return !seen.has(definition) && seen.add(definition)
  })
}

type Good = Extract<Tried, { readonly advised: Advised }>

/** What another advised index does as well: one that begins with the same columns, or the one of all rows. */
const covered = ({ advised, proposal: one }: Good, all: ReadonlyArray<Good>): boolean =>
  all.some(
    ({ advised: others, proposal: other }) =>
      other !== one &&
      other.method === "btree" &&
      one.method === "btree" &&
      other.table === one.table &&
      (startsLike(other, one) ||
        (other.statement === one.source && others.outcome.after.cost < Trial.gainMin * advised.outcome.after.cost))
  )

/** Whether the other one has the same rows and begins with the same columns. */
const startsLike = (other: Proposals.Proposal, one: Proposals.Proposal): boolean =>
  other.predicate === one.predicate &&
  other.columns.length > one.columns.length &&
  one.columns.every((column, n) => other.columns[n] === column)

const tooSmall = ({ proposal }: Wanted): Tried =>
  rejected(
    proposal,
    `the table has ${proposal.table.rows} rows: below ${Proposals.rowsMin} it is read as a whole anyway`
  )

const tryGroup = (
  sql: SqlClient.SqlClient,
  group: ReadonlyArray<Wanted>,
  progress: Progress
): Effect.Effect<ReadonlyArray<Tried>> =>
  Trial.on(sql, group[0]?.tables ?? [], (copy) =>
    Effect.forEach(group, ({ proposal }) =>
      Effect.zipRight(progress(`trying an index ${Proposals.definitionOf(proposal)}`), tryOne(copy, proposal))
    )
  ).pipe(
    Effect.catchAll((error) =>
      Effect.succeed(group.map(({ proposal }) => rejected(proposal, `no copy could be made: ${messageOf(error)}`)))
    )
  )

const creations = (
  sql: SqlClient.SqlClient,
  catalog: Catalog.Catalog,
  plans: ReadonlyArray<Planned>,
  progress: Progress
) =>
  Effect.gen(function* () {
    const [small, large] = Array.partition(
      proposalsOf(catalog, plans),
      ({ proposal }) => proposal.table.rows >= Proposals.rowsMin
    )
    // What needs the same tables is tried on the same copy.
    const groups = Object.values(Array.groupBy(large, ({ tables }) => tables.map(keyOf).join()))
    const tried = yield* Effect.forEach(groups, (group) => tryGroup(sql, group, progress))
    const good = tried.flat().flatMap((one) => ("advised" in one ? [one] : []))
    return {
      create: good.filter((one) => !covered(one, good)).map(({ advised }) => advised),
      rejected: [...tried.flat(), ...small.map(tooSmall)].flatMap((one) => ("rejected" in one ? [one.rejected] : []))
    }
  })

/** Statements that read the table, on one copy of all that they read. */
interface Together {
  readonly tables: Map<string, Catalog.Table>
  readonly plans: Array<Planned>
}

/** As few copies as it takes when no two tables of a copy may have the same name. */
const together = (
  catalog: Catalog.Catalog,
  plans: ReadonlyArray<Planned>,
  table: Catalog.Table
): ReadonlyArray<Together> => {
  const fresh = (): Together => ({ tables: new Map([[table.name, table]]), plans: [] })
  const groups = [fresh()]
  for (const one of plans) {
    const read = tablesOf(one.plan, catalog)
    let group = groups.find(({ tables }) => read.every((other) => (tables.get(other.name) ?? other) === other))
    if (group === undefined) groups.push((group = fresh()))
    for (const other of read) group.tables.set(other.name, other)
    group.plans.push(one)
  }
  return groups
}

/** A statement and its cost without some indexes over that with them; null when no copy can stand in for its tables. */
type Loss = readonly [of: Planned, times: number | null]

const losses = (
  sql: SqlClient.SqlClient,
  catalog: Catalog.Catalog,
  plans: ReadonlyArray<Planned>,
  table: Catalog.Table,
  gone: ReadonlyArray<Catalog.Index>
): Effect.Effect<ReadonlyArray<Loss>, SqlError> => {
  const touching = plans.filter(({ plan }) => tablesOf(plan, catalog).includes(table))
  const [single, double] = Array.partition(
    touching,
    ({ plan }) => Trial.doubleOf(tablesOf(plan, catalog)) !== undefined
  )
  return Effect.map(
    Effect.forEach(together(catalog, single, table), (group) => {
      const texts = group.plans.map(({ statement }) => statement.text)
      return Effect.map(
        Trial.on(sql, [...group.tables.values()], (copy) => copy.drop(gone, texts)),
        (all) => group.plans.map((one, n): Loss => [one, all[n] ?? null])
      )
    }),
    (all) => [...all.flat(), ...double.map((one): Loss => [one, null])]
  )
}

const uses = ({ plan }: Planned, { name }: Catalog.Index): boolean =>
  Plans.nodesOf(plan).some((node) => node["Index Name"] === name)

/** Why the index stays, or how many statements were planned without it. */
const judged = (all: ReadonlyArray<Loss>, index: Catalog.Index): string | number => {
  const unknown = all.find(([of, times]) => times === null && uses(of, index))
  if (unknown !== undefined) {
    return `a statement that uses it cannot be tried on a copy: ${fingerprint(unknown[0].statement.text)}`
  }
  const known = all.flatMap(([, times]) => times ?? [])
  const worst = Math.max(1, ...known)
  return Trial.isHarmless(worst) ? known.length : `a statement becomes ${worst.toFixed(1)} times dearer without it`
}

/** Each is tried without those before it that may go: what stands in for one of them is needed. */
const drops = (
  sql: SqlClient.SqlClient,
  catalog: Catalog.Catalog,
  plans: ReadonlyArray<Planned>,
  hoursMin: number,
  progress: Progress
) =>
  Effect.gen(function* () {
    const drop: Array<Droppable> = []
    const rejected: Array<Rejected> = []
    for (const redundant of Redundant.redundant(catalog, hoursMin)) {
      const { index, kind } = redundant
      const here = (one: Catalog.Index) => one.schema === index.schema && one.table === index.table
      const table = catalog.tables.find(({ name, schema }) => name === index.table && schema === index.schema)
      if (table === undefined) continue
      yield* progress(`trying without ${index.name}`)
      const gone = drop.map((one) => one.redundant.index).filter(here)
      const verdict = yield* losses(sql, catalog, plans, table, [...gone, index]).pipe(
        Effect.map((all) => judged(all, index)),
        Effect.catchAll((error) => Effect.succeed(`it could not be tried: ${messageOf(error)}`))
      )
      if (typeof verdict === "number") drop.push({ sql: dropSql(index), redundant, statements: verdict })
      else rejected.push({ sql: dropSql(index), reason: `${index.name} is ${kind}`, why: verdict })
    }
    return { drop, rejected }
  })

const indexes = (sql: SqlClient.SqlClient, hoursMin: number, progress: Progress) =>
  Effect.gen(function* () {
    yield* progress("reading the catalog")
    const catalog = yield* Catalog.read(sql)
    const workload = yield* Workload.read(sql)
    yield* progress(`planning ${statementsOf(workload).length} statements`)
    const plans = yield* planned(sql, statementsOf(workload))
    const made = yield* creations(sql, catalog, plans, progress)
    const dropped = yield* drops(sql, catalog, plans, hoursMin, progress)
    return {
      hours: catalog.hours,
      schema: catalog.schema,
      indexes: catalog.indexes,
      unindexedKeys: Redundant.unindexedKeys(catalog),
      invalid: invalid(catalog),
      create: made.create,
      drop: dropped.drop,
      rejected: [...made.rejected, ...dropped.rejected],
      blind: workload.fix
    }
  })

/** `unusedHours`: how long an index must have been without a scan to be called unused. */
export const layerWith = ({ unusedHours }: { readonly unusedHours: number }) =>
  Layer.effect(
    Optimizer,
    Effect.map(SqlClient.SqlClient, (sql) => ({
      report: orUnavailable(
        Effect.gen(function* () {
          const { hours, schema, tables } = yield* Catalog.read(sql)
          return { hours, schema, tables, workload: yield* Workload.read(sql), activity: yield* Activity.read(sql) }
        })
      ),
      indexes: (progress) => orUnavailable(indexes(sql, unusedHours, progress))
    }))
  )

export const layer: Layer.Layer<Optimizer, never, SqlClient.SqlClient> = layerWith({
  unusedHours: Redundant.unusedHours
})
