import * as Redacted from "effect/Redacted"

/** Where a server is: a socket's folder, or a URL that may hold a password. */
export type Address =
  | { readonly socketFolder: string; readonly port: number; readonly user: string; readonly database: string }
  | { readonly url: Redacted.Redacted }

/** What a connection is opened with. */
export interface ConnectOptions {
  readonly address: Address
  readonly statementMillisMax: number
  /**
   * Whether the server keeps plans under names, and settings for as long as the connection. Not with a PgBouncer in
   * between that pools transactions.
   */
  readonly prepared: boolean
}

/** Milliseconds until a connection attempt is given up. */
export const connectMillisMax = 3_000

/** How our connections appear in `pg_stat_activity`. */
export const applicationName = "realtime-connect"

const parsed = (url: Redacted.Redacted): URL | undefined => {
  try {
    return new URL(Redacted.value(url))
  } catch {
    return undefined
  }
}

/** `host:port/database`, without user and password. */
export const describe = (address: Address): string => {
  if (!("url" in address)) return `${address.socketFolder}/${address.database}`
  const url = parsed(address.url)
  return url === undefined ? "(DATABASE_URL is not a URL)" : `${url.hostname}:${url.port || "5432"}${url.pathname}`
}

/** The database's name, for traces. */
export const databaseOf = (address: Address): string =>
  "url" in address ? (parsed(address.url)?.pathname.slice(1) ?? "postgres") : address.database
