import type { Catalog, ForeignKey, Index } from "./Catalog.ts"

/** An index that another one, or nobody, makes unnecessary. */
export interface Redundant {
  readonly kind: "duplicate" | "prefix" | "unused"
  readonly index: Index
  /** The one that does its work, for `duplicate` and `prefix`. */
  readonly keeps: Index | null
}

/** An index that is never scanned is called unused when the statistics cover this many hours. */
export const unusedHours = 24

const sameTable = (a: Index, b: Index) => a.schema === b.schema && a.table === b.table && a.name !== b.name

const comparable = (a: Index, b: Index) =>
  sameTable(a, b) && a.valid && b.valid && a.method === b.method && a.predicate === b.predicate

const startsWith = (longer: Index, shorter: Index): boolean =>
  shorter.columns.every(({ form, text }, n) => longer.columns[n]?.text === text && longer.columns[n]?.form === form)

/** Whether a unique index lets only one row have no value. */
const isStrict = ({ definition }: Index): boolean => definition.includes(" NULLS NOT DISTINCT")

const rank = (index: Index): number =>
  (index.constraint ? 8 : 0) + (index.unique ? 4 : 0) + (isStrict(index) ? 2 : 0) + (index.includes ? 1 : 0)

/** Which of two equal indexes stays: the one with the most behind it, then the one that is used more, then by name. */
const outranks = (a: Index, b: Index): boolean => {
  if (rank(a) !== rank(b)) return rank(a) > rank(b)
  return a.scans === b.scans ? a.name < b.name : a.scans > b.scans
}

/** Something other than searching depends on it. */
const isNeeded = ({ constraint, unique }: Index): boolean => constraint || unique

const duplicateOf = (index: Index, all: ReadonlyArray<Index>): Redundant | undefined => {
  if (index.constraint || index.includes) return undefined
  const keeps = all.find(
    (other) =>
      comparable(index, other) &&
      other.columns.length === index.columns.length &&
      startsWith(other, index) &&
      (other.unique || !index.unique) &&
      (isStrict(other) || !isStrict(index)) &&
      outranks(other, index)
  )
  return keeps && { kind: "duplicate", index, keeps }
}

const prefixOf = (index: Index, all: ReadonlyArray<Index>): Redundant | undefined => {
  if (isNeeded(index) || index.includes || index.method !== "btree") return undefined
  const keeps = all.find(
    (other) => comparable(index, other) && other.columns.length > index.columns.length && startsWith(other, index)
  )
  return keeps && { kind: "prefix", index, keeps }
}

const isUnused = (index: Index, hours: number, hoursMin: number): boolean =>
  index.scans === 0 && !isNeeded(index) && index.valid && hours >= hoursMin

/**
 * Indexes that could go, all of them together: each once, for its strongest reason. What does the work of another that goes
 * stays, and so does the last one by which the rows of a foreign key are found.
 */
export const redundant = ({ foreignKeys, hours, indexes }: Catalog, hoursMin: number): ReadonlyArray<Redundant> => {
  const covered = indexes.flatMap((index) => duplicateOf(index, indexes) ?? prefixOf(index, indexes) ?? [])
  const keepers = new Set(covered.map(({ keeps }) => keeps))
  const going = new Set(covered.map(({ index }) => index))
  const isLast = (index: Index): boolean =>
    foreignKeys.some(
      (key) => finds(index, key) && !indexes.some((other) => other !== index && !going.has(other) && finds(other, key))
    )
  const unused = indexes.flatMap((index): ReadonlyArray<Redundant> => {
    if (going.has(index) || keepers.has(index) || !isUnused(index, hours, hoursMin) || isLast(index)) return []
    going.add(index)
    return [{ kind: "unused", index, keeps: null }]
  })
  return [...covered, ...unused]
}

/** Whether the index finds the rows of one key of the foreign key. */
const finds = (index: Index, { columns, schema, table }: ForeignKey): boolean => {
  if (index.schema !== schema || index.table !== table || !index.valid) return false
  if (index.method !== "btree" && index.method !== "hash") return false
  const first = index.columns.slice(0, columns.length).map(({ text }) => text)
  // The key looks for no null, so an index without the nulls is enough.
  const whole = index.predicate === null || (columns.length === 1 && index.predicate === `(${columns[0]} IS NOT NULL)`)
  return whole && columns.every((column) => first.includes(column))
}

/** Foreign keys whose rows can only be found by reading the whole table, as each delete of a parent must. */
export const unindexedKeys = ({ foreignKeys, indexes }: Catalog): ReadonlyArray<ForeignKey> =>
  foreignKeys.filter((key) => !indexes.some((index) => finds(index, key)))
