import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"

/** Texts of statements whose tables are remembered; beyond that they are read again. */
export const textsMax = 1_000

const name = String.raw`(?:"(?:[^"]|"")+"|[a-z_\x80-\uffff][\w$\x80-\uffff]*)`
const path = String.raw`(?:only\s+)?(?:${name}\s*\.\s*)?(${name})`

/** What is written; `truncate` may name several tables. */
const write = new RegExp(
  String.raw`\b(?:insert\s+into|update|delete\s+from|merge\s+into|truncate(?:\s+table)?)\s+(?<all>${path}(?:[\s*]*,\s*${path})*)`,
  "gi"
)
const paths = new RegExp(path, "gi")

/** A table as the tables of a statement are told apart: its name without schema and quotes, in small letters. */
export const tableOf = (written: string): string => written.replace(/^"|"$/g, "").replaceAll('""', '"').toLowerCase()

const writtenIn = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(write)].flatMap(({ groups }) =>
    [...(groups?.["all"] ?? "").matchAll(paths)].map(([, last = ""]) => tableOf(last))
  )

const known = new Map<string, ReadonlyArray<string>>()

/** The letters that a statement which writes begins with, behind comments. */
const begins = /^\s*(?:(?:--[^\n]*\n|\/\*[\s\S]*?\*\/)\s*)*[iudmwt]/i

/**
 * The tables that a statement writes, by its text: those of its CTEs too, but not what triggers and cascades write.
 * Undefined for most statements, which only read.
 */
export const tablesOf = (text: string): ReadonlyArray<string> | undefined => {
  // Nearly every statement is a select, and this is all that it costs.
  if (text.startsWith("select") || !begins.test(text)) return undefined
  let tables = known.get(text)
  if (tables === undefined) {
    tables = [...new Set(writtenIn(text))]
    if (known.size < textsMax) known.set(text, tables)
  }
  return tables.length === 0 ? undefined : tables
}

/** The tables that the transaction of this fiber has written so far; undefined outside of one. */
export const inTransaction: FiberRef.FiberRef<Set<string> | undefined> = FiberRef.unsafeMake<Set<string> | undefined>(
  undefined
)

/** Called with the tables that a statement or a transaction has written, as soon as that is committed. */
export type OnWritten = (tables: ReadonlySet<string>) => void

/** Who wants to know what this process writes. */
export interface Writes {
  readonly followers: Set<OnWritten>
  /** Of a statement that succeeded: now, or with its transaction. */
  readonly wrote: (tables: ReadonlyArray<string>, transaction: Set<string> | undefined) => void
  readonly committed: OnWritten
}

/**
 * Tells what a transaction wrote when it is over, however that is: whether a commit that nobody answered went through is
 * not known. One inside of another is over with it.
 */
export const together = <A, E, R>({ committed }: Writes, transaction: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(FiberRef.get(inTransaction), (outer) => {
    if (outer !== undefined) return transaction
    const tables = new Set<string>()
    return Effect.ensuring(
      Effect.locally(transaction, inTransaction, tables),
      Effect.sync(() => committed(tables))
    )
  })

export const make = (): Writes => {
  const followers = new Set<OnWritten>()
  const committed: OnWritten = (tables) => {
    if (tables.size > 0) for (const follower of followers) follower(tables)
  }
  return {
    followers,
    committed,
    wrote: (tables, transaction) => {
      if (transaction === undefined) return committed(new Set(tables))
      for (const table of tables) transaction.add(table)
    }
  }
}
