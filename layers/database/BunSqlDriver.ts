import type { ReservedSQL, SQL } from "bun"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Driver, DriverConnection, Ear, DriverResult, DriverStatement } from "../../src/database/Driver.ts"
import * as Cancelling from "./Cancelling.ts"
import { failure, settle } from "./DriverOutcome.ts"
import { applicationName, type ConnectOptions, connectMillisMax } from "./Address.ts"

/** What Bun's query is beyond a promise, where its types are narrower than the thing. */
interface BunQuery extends Promise<unknown> {
  readonly values: () => BunQuery
}

type BunRows = ReadonlyArray<Record<string, unknown>> & { readonly count: number | null }

/** JSON without a type in between would be taken for a JSON string and encoded once more. */
const jsonParameter = /(\$\d+)(?=::jsonb?\b(?!\[))/g
const jsonArrayParameter = /(\$\d+)(?=::jsonb?\[)/g

const withTextJson = (sql: string): string =>
  sql.includes("::json") ? sql.replace(jsonParameter, "$1::text").replace(jsonArrayParameter, "$1::text[]") : sql

/** Arrays of int4 and float4 come typed, unless there is a null in them: as plain ones, like the other drivers'. */
const withPlainArrays = (rows: ReadonlyArray<Record<string, unknown>>): ReadonlyArray<unknown> => {
  const [first] = rows
  for (const column in first) {
    const value = first[column]
    // What is null here may be an array in the next row.
    if (typeof value !== "object" || value instanceof Date || value instanceof Uint8Array) continue
    for (const row of rows) {
      const found = row[column]
      if (found instanceof Int32Array || found instanceof Float32Array) row[column] = Array.from(found)
    }
  }
  return rows
}

/** Without parameters a text may hold several statements; the last one's rows count. */
const resultOf = (value: unknown): DriverResult => {
  const rows = value as BunRows
  const last = rows.length > 0 && rows.count === undefined ? ((rows.at(-1) as BunRows | undefined) ?? rows) : rows
  return { rows: withPlainArrays(Array.from(last)), affected: last.count ?? last.length }
}

/**
 * Bun keeps a prepared statement for every text, and has no way to forget one. A connection that has seen this many is
 * replaced.
 */
export const preparedMax = 1_000

interface Opened {
  readonly reserved: ReservedSQL
  readonly backend: number
  readonly isOpen: () => boolean
  readonly close: () => void
}

/**
 * `query.cancel()` sends its request once and does not say when the server has had it: one that came too early is lost,
 * one that comes too late stops somebody else's statement. So we ask by another connection and wait for its answer.
 */
const wrap = ({ backend, close, isOpen, reserved }: Opened, control: () => SQL): DriverConnection => {
  const prepared = new Set<string>()
  return {
    isOpen: () => isOpen() && prepared.size < preparedMax,
    close,
    run: ({ arrays, params, sql }: DriverStatement, done) => {
      if (params.length > 0) prepared.add(sql)
      const running = Cancelling.make(done)
      const query = reserved.unsafe(withTextJson(sql), [...params]) as unknown as BunQuery
      settle(arrays ? query.values() : query, resultOf, running.done)
      return () =>
        running.cancel((dealtWith) => {
          control().unsafe("select pg_cancel_backend($1)", [backend]).then(dealtWith, dealtWith)
        })
    }
  }
}

const clientOf = (Sql: typeof SQL, options: ConnectOptions, changes: object): SQL => {
  const { address, statementMillisMax } = options
  const settings = {
    max: 1,
    connectionTimeout: connectMillisMax / 1_000,
    idleTimeout: 0,
    maxLifetime: 0,
    connection: { statement_timeout: String(statementMillisMax), application_name: applicationName },
    ...changes
  }
  return "url" in address
    ? new Sql(Redacted.value(address.url), settings)
    : new Sql({
        ...settings,
        path: `${address.socketFolder}/.s.PGSQL.${address.port}`,
        username: address.user,
        database: address.database
      })
}

/** A pool of Bun's own reconnects behind a transaction's back; of one connection, reserved, it does not. */
const openOne = async (Sql: typeof SQL, options: ConnectOptions): Promise<Opened> => {
  let open = true
  const sql = clientOf(Sql, options, { onclose: () => (open = false) })
  const close = () => {
    open = false
    sql.close({ timeout: 0 }).catch(() => {})
  }
  try {
    const reserved = await sql.reserve()
    const [row] = (await reserved.unsafe("select pg_backend_pid() as backend")) as ReadonlyArray<{ backend: number }>
    return { reserved, backend: row?.backend ?? 0, isOpen: () => open, close }
  } catch (error) {
    close()
    throw error
  }
}

/** Through pg, which says at once when its connection is lost. Loaded by the first who listens. */
const listenLater = (options: ConnectOptions, channel: string, ear: Ear): (() => void) => {
  let close = () => {}
  let isOver = false
  import("./PgListener.ts").then(
    ({ listen }) => {
      if (!isOver) close = listen(options, channel, ear)
    },
    (cause: unknown) => ear.lost(failure(cause))
  )
  return () => {
    isOver = true
    close()
  }
}

/** Connections through Bun's own client. Bun only; the module is loaded when it is asked for. */
export const make = (options: ConnectOptions): Effect.Effect<Driver> =>
  Effect.map(
    Effect.promise(() => import("bun")),
    ({ SQL: Sql }) => {
      let controlling: SQL | undefined
      // Its connection closes after a while without cancels and opens again with the next.
      const control = () => (controlling ??= clientOf(Sql, options, { idleTimeout: 10 }))
      return {
        name: "bun",
        connectionsMax: Number.POSITIVE_INFINITY,
        depthMax: 16,
        connect: (done) => {
          settle(openOne(Sql, options), (opened) => wrap(opened, control), done)
        },
        listen: (channel, ear) => listenLater(options, channel, ear)
      }
    }
  )
