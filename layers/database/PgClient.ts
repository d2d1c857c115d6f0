import type { Socket } from "node:net"
import * as Redacted from "effect/Redacted"
import Pg from "pg"
import { applicationName, type ConnectOptions, connectMillisMax } from "./Address.ts"

/** Private parts of pg: the key that the server gave at the start, and where it was reached. */
export interface Internals {
  readonly processID: number | null
  readonly secretKey: number | null
  readonly connection: { readonly stream: Socket }
}

/** `pipeline`, which its types lack: what is asked for while something runs is sent at once. */
interface Config extends Pg.ClientConfig {
  readonly pipeline: boolean
}

/** A client that has not connected yet. */
export const make = ({ address, prepared, statementMillisMax }: ConnectOptions): Pg.Client => {
  const config: Config = {
    ...("url" in address
      ? { connectionString: Redacted.value(address.url) }
      : { host: address.socketFolder, port: address.port, user: address.user, database: address.database }),
    ...(prepared ? { statement_timeout: statementMillisMax } : {}),
    connectionTimeoutMillis: connectMillisMax,
    application_name: applicationName,
    keepAlive: true,
    pipeline: true
  }
  return new Pg.Client(config)
}

/** Ends its connection at once: `end` waits for what runs. */
export const close = (client: Pg.Client): void => {
  client.end(() => {})
  setTimeout(() => (client as unknown as Internals).connection.stream.destroy(), 100).unref()
}
