import { SqlError } from "@effect/sql/SqlError"
import type { ReservedSQL, SQL } from "bun"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type { Driver, DriverConnection, DriverResult, DriverStatement } from "../../src/database/Driver.ts"
import { applicationName, type ConnectOptions, connectMillisMax } from "./Address.ts"

/** What Bun's query is beyond a promise, where its types are narrower than the thing. */
interface BunQuery extends Promise<unknown> {
  readonly values: () => BunQuery
  readonly cancel: () => unknown
}

type BunRows = ReadonlyArray<unknown> & { readonly count: number | null }

/** JSON without a type in between would be taken for a JSON string and encoded once more. */
const jsonParameter = /(\$\d+)(?=::jsonb?\b(?!\[))/g
const jsonArrayParameter = /(\$\d+)(?=::jsonb?\[)/g

const withTextJson = (sql: string): string =>
  sql.includes("::json") ? sql.replace(jsonParameter, "$1::text").replace(jsonArrayParameter, "$1::text[]") : sql

const failure = (cause: unknown) =>
  new SqlError({ cause, message: cause instanceof Error ? cause.message : String(cause) })

/** Without parameters a text may hold several statements; the last one's rows count. */
const resultOf = (value: unknown): DriverResult => {
  const rows = value as BunRows
  const last = rows.length > 0 && rows.count === undefined ? ((rows.at(-1) as BunRows | undefined) ?? rows) : rows
  return { rows: last, affected: last.count ?? last.length }
}

const wrap = (sql: SQL, reserved: ReservedSQL, isOpen: () => boolean, close: () => void): DriverConnection => ({
  isOpen,
  close,
  run: ({ arrays, params, sql: text }: DriverStatement, done) => {
    let running = true
    const query = reserved.unsafe(withTextJson(text), [...params]) as unknown as BunQuery
    ;(arrays ? query.values() : query).then(
      (value) => {
        running = false
        done(Either.right(resultOf(value)))
      },
      (error: unknown) => {
        running = false
        done(Either.left(failure(error)))
      }
    )
    return () => {
      if (running) query.cancel()
    }
  }
})

const openOne = (Sql: typeof SQL, { address, statementMillisMax }: ConnectOptions): Promise<DriverConnection> => {
  let open = true
  const options = {
    // A pool of Bun's own reconnects behind a transaction's back; of one connection, reserved, it does not.
    max: 1,
    connectionTimeout: connectMillisMax / 1_000,
    idleTimeout: 0,
    maxLifetime: 0,
    connection: { statement_timeout: String(statementMillisMax), application_name: applicationName },
    onclose: () => (open = false)
  }
  const sql =
    "url" in address
      ? new Sql(Redacted.value(address.url), options)
      : new Sql({
          ...options,
          path: `${address.socketFolder}/.s.PGSQL.${address.port}`,
          username: address.user,
          database: address.database
        })
  const close = () => {
    open = false
    sql.close({ timeout: 0 }).catch(() => {})
  }
  return sql.reserve().then(
    (reserved) => wrap(sql, reserved, () => open, close),
    (error: unknown) => {
      close()
      throw error
    }
  )
}

/** Connections through Bun's own client. Bun only; the module is loaded when it is asked for. */
export const make = (options: ConnectOptions): Effect.Effect<Driver> =>
  Effect.map(
    Effect.promise(() => import("bun")),
    ({ SQL: Sql }) => ({
      name: "bun",
      connectionsMax: Number.POSITIVE_INFINITY,
      connect: (done) => {
        openOne(Sql, options).then(
          (connection) => done(Either.right(connection)),
          (error: unknown) => done(Either.left(failure(error)))
        )
      }
    })
  )
