import type { PlanNode } from "../Plans.ts"
import { nodesOf } from "../Plans.ts"
import type { Catalog, ForeignKey, Index, Table } from "./Catalog.ts"
import { type Clause, clauses } from "./Predicates.ts"
import type { Statement } from "./Workload.ts"

/** An index that might help, to be tried. */
export interface Proposal {
  readonly table: Table
  readonly method: "btree" | "gin"
  /** Columns and expressions, with an operator class or an order where they need one. */
  readonly columns: ReadonlyArray<string>
  readonly predicate: string | null
  /** Why it came up. */
  readonly reason: string
  /** The statement that it is for, with `$1` where values stand. */
  readonly statement: string
  /** What it looks for, to make runs with values of. */
  readonly clauses: ReadonlyArray<Clause>
}

/** Tables with fewer rows are read as a whole faster than by an index. */
export const rowsMin = 1_000

/** Columns of a proposed index at most. */
const columnsMax = 4

const quoted = (name: string): string => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`)

/** A table as it stands in a statement; without its schema, so that a copy of the same name can take its place. */
export const relationOf = ({ name }: { readonly name: string }): string => quoted(name)

/** Everything of the index behind its name: `on users using btree (email) where …`. */
export const definitionOf = ({
  columns,
  method,
  predicate,
  table
}: Omit<Proposal, "reason" | "statement" | "clauses">): string =>
  `on ${quoted(table.schema)}.${quoted(table.name)} using ${method} (${columns.join(", ")})${predicate === null ? "" : ` where ${predicate}`}`

/** For a foreign key without an index: what Postgres itself asks for each row that is deleted from the target. */
export const forKey = (key: ForeignKey, catalog: Catalog): ReadonlyArray<Proposal> => {
  const table = catalog.tables.find(({ name, schema }) => name === key.table && schema === key.schema)
  if (table === undefined) return []
  const columns = key.columns.map(quoted)
  const where = columns.map((column, n) => `x.${column} = $${n + 1}`).join(" and ")
  return [
    {
      table,
      method: "btree",
      columns,
      predicate: null,
      reason: `foreign key ${key.name} to ${key.target} has no index`,
      statement: `select 1 from only ${relationOf(table)} x where ${where} for key share of x`,
      clauses: columns.map((left, n) => ({ left, operator: "=", right: `$${n + 1}` }))
    }
  ]
}

const isFixed = ({ operator, right }: Clause): boolean =>
  operator.startsWith("IS ") || right === "true" || right === "false"
const isEqual = ({ operator, right }: Clause): boolean => operator === "=" && !isFixed({ left: "", operator, right })
const isRange = ({ operator }: Clause): boolean => ["<", "<=", ">", ">="].includes(operator)
const isPattern = ({ operator }: Clause): boolean => ["~~", "~~*", "~", "~*"].includes(operator)
const isContainment = ({ operator }: Clause): boolean => ["@>", "<@", "&&", "@@"].includes(operator)

const unique = (all: ReadonlyArray<string>): ReadonlyArray<string> => [...new Set(all)].slice(0, columnsMax)

/** The order that a plan sorts the rows of this scan into, by its own columns alone. */
const sortOf = (plan: PlanNode, scan: PlanNode): ReadonlyArray<string> => {
  const sort = nodesOf(plan).find((node) => node["Sort Key"] !== undefined && node.Plans?.[0] === scan)
  const keys = (sort?.["Sort Key"] ?? []).map((key) => key.replaceAll(`${scan.Alias ?? ""}.`, ""))
  return keys.every((key) => /^[a-z_]\w*(?: DESC)?(?: NULLS (?:FIRST|LAST))?$/.test(key)) ? keys : []
}

type Shape = Pick<Proposal, "method" | "columns" | "predicate">

/** The indexes that these conditions suggest. Which of them are worth it the trial says. */
const shapes = (found: ReadonlyArray<Clause>, sort: ReadonlyArray<string>, trigrams: boolean): ReadonlyArray<Shape> => {
  const equal = found.filter(isEqual).map(({ left }) => left)
  const range = found.filter(isRange).map(({ left }) => left)
  const fixed = found.filter(isFixed).map(({ left, operator, right }) => `${left} ${operator} ${right}`.trim())
  const predicate = fixed.length === 0 ? null : fixed.join(" and ")
  const searched = unique([...equal, ...(sort.length > 0 ? sort : range.slice(0, 1))])
  const trees = searched.length === 0 ? [] : [searched]
  return [
    ...trees.flatMap((columns): ReadonlyArray<Shape> => [
      { method: "btree", columns, predicate: null },
      ...(predicate === null ? [] : [{ method: "btree", columns, predicate } as const])
    ]),
    ...(trigrams ? found.filter(isPattern) : []).map(({ left }): Shape => ({
      method: "gin",
      columns: [`${left} gin_trgm_ops`],
      predicate: null
    })),
    ...found.filter(isContainment).map(({ left }): Shape => ({ method: "gin", columns: [left], predicate: null }))
  ]
}

const already = (indexes: ReadonlyArray<Index>, table: Table, { columns, method, predicate }: Shape): boolean =>
  indexes.some(
    (index) =>
      index.table === table.name &&
      index.schema === table.schema &&
      index.valid &&
      index.method === method &&
      index.predicate === predicate &&
      columns.every((column, n) => index.columns[n]?.text === column.replace(/ (gin_trgm_ops|DESC)$/, ""))
  )

/** For a statement that reads many rows to keep few: an index for what it looks for in each such table. */
export const forStatement = (
  { meanMillis, text }: Statement,
  plan: PlanNode,
  { extensions, indexes, tables }: Catalog
): ReadonlyArray<Proposal> =>
  nodesOf(plan).flatMap((node) => {
    const table = tables.find(({ name }) => name === node["Relation Name"])
    if (table === undefined || table.rows < rowsMin || node["Node Type"].startsWith("Index Only")) return []
    const found = node.Filter === undefined ? [] : clauses(node.Filter, node.Alias)
    return shapes(found, sortOf(plan, node), extensions.includes("pg_trgm"))
      .filter((shape) => !already(indexes, table, shape))
      .map((shape) => ({
        ...shape,
        table,
        reason: `reads ${table.name} without an index, ${Math.round(meanMillis * 10) / 10} ms a call`,
        statement: text,
        clauses: found
      }))
  })
