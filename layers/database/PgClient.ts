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

/** Its types know some of the numbers. */
const parserOf = Pg.types.getTypeParser as (oid: number, format?: string) => (value: string) => unknown

const text = (value: string): unknown => value
const texts = parserOf(1009)

/** Object identifiers of types that `pg` makes objects of, which are text with the other drivers. */
const asText = { point: 600, circle: 718, interval: 1186 }

/** Of those whose arrays it makes broken numbers or objects of, or leaves as one text. */
const asTexts = { name: 1003, point: 1017, interval: 1187, numeric: 1231 }

const parsers: ReadonlyMap<number, (value: string) => unknown> = new Map([
  ...Object.values(asText).map((oid) => [oid, text] as const),
  ...Object.values(asTexts).map((oid) => [oid, texts] as const)
])

const types: Pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: string) => parsers.get(oid) ?? parserOf(oid, format)
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
    types,
    pipeline: true
  }
  return new Pg.Client(config)
}

/** Ends its connection at once: `end` waits for what runs. */
export const close = (client: Pg.Client): void => {
  client.end(() => {})
  setTimeout(() => (client as unknown as Internals).connection.stream.destroy(), 100).unref()
}
