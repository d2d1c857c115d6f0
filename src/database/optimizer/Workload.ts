import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Catalog from "./Catalog.ts"

/** A statement as pg_stat_statements counted it, `$1` where values stood. */
export interface Statement {
  readonly text: string
  readonly calls: number
  readonly totalMillis: number
  readonly meanMillis: number
  readonly rows: number
  /** Share of the blocks it needed that were in the server's buffers, 0 to 1; null when it needed none. */
  readonly hitRate: number | null
}

/** Statements looked at: those that took the most time. */
export const statementsMax = 200

/** What the server knows of its statements; `fix` says what would make it know and tell all, null where it does. */
export type Workload =
  | { readonly _tag: "Known"; readonly statements: ReadonlyArray<Statement>; readonly fix: string | null }
  | { readonly _tag: "Unknown"; readonly fix: string }

const preload = "pg_stat_statements"

const fixes = {
  notPreloaded: `Postgres does not count them. Set shared_preload_libraries = '${preload}' in postgresql.conf, restart Postgres, and run: create extension ${preload}`,
  notCreated: `Postgres does not count them. Run in this database: create extension ${preload}`,
  hidden: (role: string) =>
    `Postgres hides those of other roles. Run as a superuser: grant pg_read_all_stats to ${role}`
}

/** Statements of this database, and what stands in the place of one that is not shown. */
const here = "dbid = (select oid from pg_database where datname = current_database())"
const hidden = (schema: string) => `
select quote_ident(current_user) as "role", exists (
  select from "${schema}".${preload} where ${here} and query = '<insufficient privilege>') as "isHidden"`

const top = (schema: string) => `
select query as "text", calls::float8 as "calls", total_exec_time as "totalMillis", mean_exec_time as "meanMillis",
  rows::float8 as "rows", case when shared_blks_hit + shared_blks_read > 0
    then shared_blks_hit::float8 / (shared_blks_hit + shared_blks_read) end as "hitRate"
from "${schema}".${preload}
where ${here} and query ~* '^\\s*(select|insert|update|delete|merge|with|values)\\M' and query !~* 'pg_(catalog|stat|class|index|extension|settings|backend|constraint|attribute|advisory)'
order by total_exec_time desc limit ${statementsMax}`

/** The statements that took the most time since the statistics were reset. */
export const read = (sql: SqlClient.SqlClient): Effect.Effect<Workload, SqlError> =>
  Catalog.reading(
    sql,
    Effect.gen(function* () {
      const [found] = yield* sql.unsafe<{ readonly schema: string | null; readonly loaded: boolean }>(`
select (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace
  where e.extname = '${preload}') as "schema",
  exists (select from pg_settings where name = '${preload}.max') as "loaded"`)
      if (found?.loaded !== true) return { _tag: "Unknown", fix: fixes.notPreloaded } as const
      if (found.schema === null) return { _tag: "Unknown", fix: fixes.notCreated } as const
      const [rights] = yield* sql.unsafe<{ readonly role: string; readonly isHidden: boolean }>(hidden(found.schema))
      return {
        _tag: "Known",
        statements: yield* sql.unsafe<Statement>(top(found.schema)),
        fix: rights?.isHidden === true ? fixes.hidden(rights.role) : null
      } as const
    })
  )
