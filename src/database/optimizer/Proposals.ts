import type { PlanNode } from "../Plans.ts"
import { nodesOf } from "../Plans.ts"
import type { Catalog, ForeignKey, Index, Table } from "./Catalog.ts"
import { type Clause, clauses, normal, unaliased } from "./Predicates.ts"
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
  /** The text that the server counted, when `statement` is that with a constant in place of a value. */
  readonly source: string | null
  /** The statement with constants for which there are partial indexes: the server does not count those apart. */
  readonly constants: ReadonlyArray<string>
}

/** Tables with fewer rows are read as a whole faster than by an index. */
export const rowsMin = 1_000

/** Columns of a proposed index at most. */
const columnsMax = 4

/** Everything of the index behind its name: `on users using btree (email) where …`. */
export const definitionOf = ({
  columns,
  method,
  predicate,
  table
}: Pick<Proposal, "columns" | "method" | "predicate" | "table">): string =>
  `on ${table.path} using ${method} (${columns.join(", ")})${predicate === null ? "" : ` where ${predicate}`}`

/** For a foreign key without an index: what Postgres itself asks for each row that is deleted from the target. */
export const forKey = (key: ForeignKey, catalog: Catalog): ReadonlyArray<Proposal> => {
  const table = catalog.tables.find(({ name, schema }) => name === key.table && schema === key.schema)
  if (table === undefined) return []
  const { columns } = key
  const where = columns.map((column, n) => `x.${column} = $${n + 1}`).join(" and ")
  return [
    {
      table,
      method: "btree",
      columns,
      predicate: null,
      reason: `foreign key ${key.name} to ${key.target} has no index`,
      statement: `select 1 from only ${table.path} x where ${where} for key share of x`,
      clauses: columns.map((left, n) => ({ left, operator: "=", right: `$${n + 1}` })),
      source: null,
      constants: []
    }
  ]
}

const isFixed = ({ isConstant, operator, right }: Clause): boolean =>
  isConstant === true || operator.startsWith("IS ") || right === "true" || right === "false"
const isEqual = (clause: Clause): boolean => clause.operator === "=" && !isFixed(clause)
const isRange = ({ operator }: Clause): boolean => ["<", "<=", ">", ">="].includes(operator)
const isPattern = ({ operator }: Clause): boolean => ["~~", "~~*", "~", "~*"].includes(operator)
const isContainment = ({ operator }: Clause): boolean => ["@>", "<@", "&&", "@@"].includes(operator)

const unique = (all: ReadonlyArray<string>): ReadonlyArray<string> => [...new Set(all)].slice(0, columnsMax)

/** The order that a plan sorts the rows of this scan into, by its own columns alone. */
const sortOf = (plan: PlanNode, scan: PlanNode): ReadonlyArray<string> => {
  const sort = nodesOf(plan).find((node) => node["Sort Key"] !== undefined && node.Plans?.[0] === scan)
  const keys = (sort?.["Sort Key"] ?? []).map((key) => unaliased(key, scan.Alias))
  return keys.every((key) => /^[a-z_]\w*(?: DESC)?(?: NULLS (?:FIRST|LAST))?$/.test(key)) ? keys : []
}

type Shape = Pick<Proposal, "method" | "columns" | "predicate">

/** The indexes that these conditions suggest. Which of them are worth it the trial says. */
const shapes = (found: ReadonlyArray<Clause>, sort: ReadonlyArray<string>, trigrams: boolean): ReadonlyArray<Shape> => {
  const equal = found.filter(isEqual).map(({ left }) => left)
  const range = found.filter(isRange).map(({ left }) => left)
  const fixed = found.filter(isFixed).map(({ left, operator, right }) => `${left} ${operator} ${right}`.trim())
  const predicate = fixed.length === 0 ? null : fixed.join(" and ")
  const sought = unique([...equal, ...(sort.length > 0 ? sort : range.slice(0, 1))])
  // Where nothing but a constant is looked for, the rows that have it are what is wanted.
  const searched = sought.length > 0 ? sought : found.flatMap(({ isConstant, left }) => (isConstant ? [left] : []))
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
      normal(index.predicate) === normal(predicate) &&
      columns.every((column, n) => index.columns[n]?.text === column.replace(/ (gin_trgm_ops|DESC)$/, ""))
  )

/** The text with `value` where `$n` stands, and the placeholders behind it one number lower. */
const withConstant = (text: string, n: number, value: string): string =>
  text.replace(/\$(\d+)/g, (placeholder, number) => {
    const at = Number(number)
    return at === n ? value : at > n ? `$${at - 1}` : placeholder
  })

/** A statement of which one value is always the same, as far as anybody knows who sees it without its values. */
interface Variant {
  readonly text: string
  readonly clauses: ReadonlyArray<Clause>
}

/** The statement with a constant where it compares the column with a value; none where it does not. */
const variant = (text: string, found: ReadonlyArray<Clause>, column: string, value: string): ReadonlyArray<Variant> =>
  found.flatMap((clause) => {
    const [, n] = /^\$(\d+)$/.exec(clause.right) ?? []
    if (n === undefined || clause.left !== column || clause.operator !== "=") return []
    const fixed: Clause = { left: column, operator: "=", right: value, isConstant: true }
    return [{ text: withConstant(text, Number(n), value), clauses: found.map((one) => (one === clause ? fixed : one)) }]
  })

/** Rare values of one table that are tried as constants of a statement at most. */
const constantsMax = 3

/**
 * For a statement that reads many rows to keep few: an index for what it looks for in each such table; and where it
 * compares a column with a value that may be a constant, one of the rows that have it, if these are few.
 */
export const forStatement = (
  { meanMillis, text }: Statement,
  plan: PlanNode,
  { extensions, indexes, rare, tables }: Catalog
): ReadonlyArray<Proposal> =>
  nodesOf(plan).flatMap((node) => {
    const table = tables.find(({ name, schema }) => name === node["Relation Name"] && schema === node.Schema)
    if (table === undefined || table.rows < rowsMin || node["Node Type"].startsWith("Index Only")) return []
    const found = node.Filter === undefined ? [] : clauses(node.Filter, node.Alias)
    const here = (one: { readonly schema: string; readonly table: string }) =>
      one.schema === table.schema && one.table === table.name
    const constants = indexes
      .filter(here)
      .flatMap(({ predicate }) =>
        clauses(predicate ?? "", undefined).flatMap(({ left, operator, right }) =>
          operator === "=" ? variant(text, found, left, right) : []
        )
      )
    const rarely = rare
      .filter(here)
      .flatMap(({ column, value }) =>
        variant(text, found, column, value).map((one) => ({ ...one, what: `${column} is ${value}, as in few rows` }))
      )
    const propose = (of: Variant, where: string, isRare: boolean): ReadonlyArray<Proposal> =>
      shapes(of.clauses, sortOf(plan, node), extensions.includes("pg_trgm"))
        .filter((shape) => !already(indexes, table, shape) && (shape.predicate !== null || !isRare))
        .map((shape) => ({
          ...shape,
          table,
          reason: `reads ${table.name} without an index${where}, ${Math.round(meanMillis * 10) / 10} ms a call`,
          statement: of.text,
          clauses: of.clauses,
          source: isRare ? text : null,
          constants: constants.map((one) => one.text)
        }))
    return [
      ...propose({ text, clauses: found }, "", false),
      ...rarely.slice(0, constantsMax).flatMap((one) => propose(one, ` where ${one.what}`, true))
    ]
  })
