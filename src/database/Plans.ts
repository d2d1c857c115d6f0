import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { isSingle } from "./Fingerprint.ts"

/** A node of a plan, as `explain (format json)` writes it; what is read here. */
export interface PlanNode {
  readonly "Node Type": string
  readonly "Relation Name"?: string
  /** Of the relation; `pg_temp` for a temporary table. */
  readonly Schema?: string
  readonly "Index Name"?: string
  readonly Alias?: string
  readonly Filter?: string
  readonly "Recheck Cond"?: string
  readonly "Sort Key"?: ReadonlyArray<string>
  readonly "Total Cost": number
  readonly "Plan Rows": number
  readonly "Actual Total Time"?: number
  readonly Plans?: ReadonlyArray<PlanNode>
}

/** The verbs of what has a plan. */
const planned = /^\s*(select|insert|update|delete|merge|values|with)\b/i

/** Whether a plan can be asked for. */
export const isPlannable = (text: string): boolean => planned.test(text) && isSingle(text)

/** Every node below and with this one, the outer ones first. */
export const nodesOf = (plan: PlanNode): ReadonlyArray<PlanNode> => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]

/** The tables that a plan reads or writes; one may come several times. */
export const relationsOf = (plan: PlanNode): ReadonlyArray<{ readonly schema: string; readonly name: string }> =>
  nodesOf(plan).flatMap(({ "Relation Name": name, Schema: schema = "" }) =>
    name === undefined ? [] : [{ schema, name }]
  )

/** `select … where id = $1` has one. */
const parametersOf = (text: string): number =>
  Math.max(0, ...[...text.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number)))

let names = 0

/**
 * Explains a statement with placeholders, without values for them and without running it: the plan that the server makes
 * for any values, with `$1` where they stand. Inside the caller's transaction, which goes on when it fails.
 */
const explained = (sql: SqlClient.SqlClient, text: string, options: "format json, verbose" | "format text") =>
  Effect.gen(function* () {
    const name = `connect_plan_${++names}`
    const parameters = Array.from({ length: parametersOf(text) }, () => "null").join(", ")
    yield* sql.withTransaction(sql.unsafe(`prepare ${name} as ${text}`).unprepared)
    const rows = yield* Effect.ensuring(
      sql.withTransaction(
        sql.unsafe<{ readonly "QUERY PLAN": unknown }>(
          `explain (${options}) execute ${name}${parameters === "" ? "" : `(${parameters})`}`
        ).unprepared
      ),
      Effect.ignore(sql.unsafe(`deallocate ${name}`).unprepared)
    )
    return rows.map((row) => row["QUERY PLAN"])
  })

/** For `explained`: plans of a transaction are made for any values. */
export const genericPlans = (sql: SqlClient.SqlClient): Effect.Effect<unknown, SqlError> =>
  sql.unsafe("set local plan_cache_mode = force_generic_plan").unprepared

interface PlanDocument {
  readonly Plan: PlanNode
  readonly "Execution Time"?: number
}

const documentOf = (value: unknown): PlanDocument => {
  const [found] = (typeof value === "string" ? JSON.parse(value) : value) as ReadonlyArray<PlanDocument>
  if (found === undefined) throw new Error("EXPLAIN answered without a plan")
  return found
}

/** The plan of a statement, inside a transaction with `genericPlans`. Its columns stand behind the names of their tables. */
export const nodeOf = (sql: SqlClient.SqlClient, text: string): Effect.Effect<PlanNode, SqlError> =>
  Effect.map(explained(sql, text, "format json, verbose"), ([value]) => documentOf(value).Plan)

/** Runs a statement that has all its values; the milliseconds that the server took, planning apart. */
export const runMillis = (sql: SqlClient.SqlClient, text: string): Effect.Effect<number, SqlError> =>
  Effect.map(
    sql.unsafe<{ readonly "QUERY PLAN": unknown }>(`explain (analyze, timing off, format json) ${text}`).unprepared,
    ([row]) => documentOf(row?.["QUERY PLAN"])["Execution Time"] ?? 0
  )

/** The plan of a statement for people, in a transaction of its own that never waits for a lock for long. */
export const textOf = (sql: SqlClient.SqlClient, text: string): Effect.Effect<string, SqlError> =>
  sql.withTransaction(
    Effect.gen(function* () {
      yield* genericPlans(sql)
      yield* sql.unsafe("set local lock_timeout = '200ms'").unprepared
      return (yield* explained(sql, text, "format text")).join("\n")
    })
  )
