import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** A table, with what Postgres has counted of it since its statistics were reset. */
export interface Table {
  readonly schema: string
  readonly name: string
  /** Schema and name, as SQL writes them. */
  readonly path: string
  /** As the planner estimates, or as counted before the first ANALYZE. */
  readonly rows: number
  readonly bytes: number
  readonly sequentialScans: number
  readonly sequentialRows: number
  readonly indexScans: number
  readonly liveRows: number
  readonly deadRows: number
  /** Blocks found in the server's buffers, and blocks read from outside of them. */
  readonly blocksHit: number
  readonly blocksRead: number
  readonly vacuumedAt: string | null
}

/** A column or expression of an index. `form` is its operator class, its order and its collation. */
export interface IndexColumn {
  readonly text: string
  readonly form: string
}

export interface Index {
  readonly schema: string
  readonly table: string
  readonly name: string
  readonly method: string
  readonly columns: ReadonlyArray<IndexColumn>
  /** It carries columns that are not searched by. */
  readonly includes: boolean
  readonly unique: boolean
  /** A constraint, a foreign key to it, the identity of replicated rows or a partitioned index stands on it. */
  readonly constraint: boolean
  /** False where its build has failed: no statement uses it, and writes may keep it up all the same. */
  readonly valid: boolean
  readonly predicate: string | null
  readonly bytes: number
  readonly scans: number
  readonly definition: string
}

export interface ForeignKey {
  readonly schema: string
  readonly table: string
  readonly name: string
  /** As SQL writes them. */
  readonly columns: ReadonlyArray<string>
  readonly target: string
}

/** A value that few rows have, of a column that has few values, such as the state of what waits. As SQL writes both. */
export interface RareValue {
  readonly schema: string
  readonly table: string
  readonly column: string
  readonly value: string
}

/** What the database is made of. */
export interface Catalog {
  /** The schema that names without one mean. */
  readonly schema: string | null
  readonly tables: ReadonlyArray<Table>
  readonly indexes: ReadonlyArray<Index>
  readonly foreignKeys: ReadonlyArray<ForeignKey>
  readonly extensions: ReadonlyArray<string>
  /** The rarest of a column first. */
  readonly rare: ReadonlyArray<RareValue>
  /** Hours that the statistics cover at least. */
  readonly hours: number
}

/** Reads without the right to write, and never for long: at most this many milliseconds a statement. */
export const statementMillisMax = 15_000

/** The effect in a read-only transaction. */
export const reading = <A, E, R>(
  sql: SqlClient.SqlClient,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  sql.withTransaction(
    Effect.zipRight(
      Effect.zipRight(
        sql.unsafe("set transaction read only").unprepared,
        sql.unsafe(`set local statement_timeout = ${statementMillisMax}`).unprepared
      ),
      effect
    )
  )

const ours = (schema: string) =>
  `${schema} not in ('pg_catalog', 'information_schema') and ${schema} not like 'pg\\_toast%' and ${schema} not like 'pg\\_temp%'`

const tables = `
select s.schemaname as "schema", s.relname as "name", quote_ident(s.schemaname) || '.' || quote_ident(s.relname) as "path",
  (case when c.reltuples > 0 then c.reltuples else s.n_live_tup end)::float8 as "rows",
  pg_table_size(c.oid)::float8 as "bytes", s.seq_scan::float8 as "sequentialScans",
  s.seq_tup_read::float8 as "sequentialRows", coalesce(s.idx_scan, 0)::float8 as "indexScans",
  s.n_live_tup::float8 as "liveRows", s.n_dead_tup::float8 as "deadRows",
  coalesce(io.heap_blks_hit, 0)::float8 as "blocksHit", coalesce(io.heap_blks_read, 0)::float8 as "blocksRead",
  greatest(s.last_vacuum, s.last_autovacuum)::text as "vacuumedAt"
from pg_stat_user_tables s
join pg_class c on c.oid = s.relid and c.relkind = 'r'
join pg_statio_user_tables io on io.relid = s.relid
where ${ours("s.schemaname")} order by 1, 2`

const indexes = `
select n.nspname as "schema", t.relname as "table", c.relname as "name", am.amname as "method",
  (select json_agg(json_build_object('text', pg_get_indexdef(i.indexrelid, k, true), 'form', concat_ws(' ',
    (i.indclass::oid[])[k - 1], (i.indoption::int2[])[k - 1], (i.indcollation::oid[])[k - 1])) order by k)
    from generate_series(1, i.indnkeyatts) k)::text as "columns",
  i.indnatts > i.indnkeyatts as "includes", i.indisunique as "unique",
  exists (select from pg_constraint where conindid = i.indexrelid) or i.indisreplident or c.relispartition as "constraint",
  i.indisvalid as "valid", pg_get_expr(i.indpred, i.indrelid) as "predicate",
  pg_relation_size(i.indexrelid)::float8 as "bytes", coalesce(s.idx_scan, 0)::float8 as "scans",
  pg_get_indexdef(i.indexrelid) as "definition"
from pg_index i
join pg_class c on c.oid = i.indexrelid join pg_am am on am.oid = c.relam
join pg_class t on t.oid = i.indrelid and t.relkind = 'r' join pg_namespace n on n.oid = t.relnamespace
left join pg_stat_user_indexes s on s.indexrelid = i.indexrelid
where ${ours("n.nspname")} and not exists (select from pg_stat_progress_create_index where index_relid = i.indexrelid)
order by 1, 2, 3`

const foreignKeys = `
select n.nspname as "schema", t.relname as "table", k.conname as "name", k.confrelid::regclass::text as "target",
  (select json_agg(quote_ident(a.attname) order by o) from unnest(k.conkey) with ordinality u(attnum, o)
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.attnum)::text as "columns"
from pg_constraint k join pg_class t on t.oid = k.conrelid join pg_namespace n on n.oid = t.relnamespace
where k.contype = 'f' and t.relkind = 'r' and ${ours("n.nspname")} order by 1, 2, 3`

/** Share of the rows that have a rare value, at most; and how many values its column has, at most. */
const rareShareMax = 0.1
const rareValuesMax = 20

const rare = `
select s.schemaname as "schema", s.tablename as "table", quote_ident(s.attname) as "column",
  case when v ~ '^-?[0-9]{1,18}$' then v else quote_literal(v) end as "value"
from pg_stats s, unnest(s.most_common_vals::text::text[], s.most_common_freqs) as u (v, f)
where ${ours("s.schemaname")} and not s.inherited and s.n_distinct between 2 and ${rareValuesMax} and f <= ${rareShareMax}
order by 1, 2, 3, f`

const about = `
select current_schema() as "schema", (select json_agg(extname) from pg_extension)::text as "extensions",
  extract(epoch from now() - greatest(d.stats_reset, pg_postmaster_start_time()))::float8 / 3600 as "hours"
from pg_stat_database d where d.datname = current_database()`

type Text<A, K extends keyof A> = Omit<A, K> & { readonly [P in K]: string }

const texts = Schema.decodeUnknownSync(Schema.parseJson(Schema.Array(Schema.String)))
const columnsOf = Schema.decodeUnknownSync(
  Schema.parseJson(Schema.Array(Schema.Struct({ text: Schema.String, form: Schema.String })))
)

/** What the database is made of now. */
export const read = (sql: SqlClient.SqlClient): Effect.Effect<Catalog, SqlError> =>
  reading(
    sql,
    Effect.gen(function* () {
      const [general] = yield* sql.unsafe<{
        readonly schema: string | null
        readonly extensions: string
        readonly hours: number
      }>(about)
      const found = yield* sql.unsafe<Text<Index, "columns">>(indexes)
      const keys = yield* sql.unsafe<Text<ForeignKey, "columns">>(foreignKeys)
      return {
        schema: general?.schema ?? null,
        tables: yield* sql.unsafe<Table>(tables),
        indexes: found.map((index) => ({ ...index, columns: columnsOf(index.columns) })),
        foreignKeys: keys.map((key) => ({ ...key, columns: texts(key.columns) })),
        extensions: texts(general?.extensions ?? "[]"),
        rare: yield* sql.unsafe<RareValue>(rare),
        hours: general?.hours ?? 0
      }
    })
  )
