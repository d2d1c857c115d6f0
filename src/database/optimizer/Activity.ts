import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { fingerprint } from "../Fingerprint.ts"
import * as Catalog from "./Catalog.ts"

/** A connection that is inside a transaction. */
export interface Transaction {
  readonly pid: number
  readonly application: string
  readonly state: string
  readonly seconds: number
  /** What it waits for, such as `Lock: transactionid`; null while it works. */
  readonly waits: string | null
  readonly fingerprint: string
}

/** What goes on now. */
export interface Activity {
  /** To this database; `other` are those of which our role may not know more. */
  readonly connections: ReadonlyArray<{ readonly state: string; readonly count: number }>
  /** To all databases of the server together. */
  readonly connectionsMax: number
  /** Open for more than a second, the oldest first, our own left out. */
  readonly transactions: ReadonlyArray<Transaction>
  /** Share of blocks found in the server's buffers, 0 to 1, over the whole database. */
  readonly hitRate: number | null
}

const transactionsMax = 20

const transactions = `
select pid, application_name as "application", state, extract(epoch from now() - xact_start)::float8 as "seconds",
  case when wait_event is not null and wait_event_type <> 'Client' then wait_event_type || ': ' || wait_event end as "waits",
  query as "fingerprint"
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and xact_start < now() - interval '1 second'
  and backend_type = 'client backend'
order by xact_start limit ${transactionsMax}`

/** Connections and open transactions of this database. */
export const read = (sql: SqlClient.SqlClient): Effect.Effect<Activity, SqlError> =>
  Catalog.reading(
    sql,
    Effect.gen(function* () {
      const connections = yield* sql.unsafe<{ readonly state: string; readonly count: number }>(`
select coalesce(state, 'other') as "state", count(*)::int as "count" from pg_stat_activity
where datname = current_database() and coalesce(backend_type, 'client backend') = 'client backend'
group by 1 order by 2 desc`)
      const open = yield* sql.unsafe<Transaction>(transactions)
      const [whole] = yield* sql.unsafe<{ readonly connectionsMax: number; readonly hitRate: number | null }>(`
select current_setting('max_connections')::int as "connectionsMax",
  blks_hit::float8 / nullif(blks_hit + blks_read, 0) as "hitRate"
from pg_stat_database where datname = current_database()`)
      return {
        connections,
        connectionsMax: whole?.connectionsMax ?? 0,
        transactions: open.map((one) => ({ ...one, fingerprint: fingerprint(one.fingerprint) })),
        hitRate: whole?.hitRate ?? null
      }
    })
  )
