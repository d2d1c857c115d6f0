import { connect } from "node:net"
import * as Either from "effect/Either"
import type Pg from "pg"
import type { Driver, DriverConnection, DriverStatement } from "../../src/database/Driver.ts"
import * as Cancelling from "./Cancelling.ts"
import { failure } from "./DriverOutcome.ts"
import type { ConnectOptions } from "./Address.ts"
import * as PgClient from "./PgClient.ts"
import { listen } from "./PgListener.ts"

/** Statements that get a name, and so a plan kept by the server; later ones run without. */
export const preparedMax = 1_000

/** A longer statement carries rows in its text and will not come again. */
const preparedLengthMax = 4_000

/** Statements on the wire of one connection. */
const depthMax = 16

/** The protocol's CancelRequest, on a connection of its own: it must not wait for one of the pool's. */
const cancelRequest = (client: Pg.Client, dealtWith: () => void): void => {
  const { processID, secretKey } = client as unknown as PgClient.Internals
  if (processID === null || secretKey === null) return dealtWith()
  const packet = Buffer.alloc(16)
  packet.writeInt32BE(16, 0)
  packet.writeInt32BE(80_877_102, 4)
  packet.writeInt32BE(processID, 8)
  packet.writeInt32BE(secretKey, 12)
  const socket = client.host.startsWith("/")
    ? connect(`${client.host}/.s.PGSQL.${client.port}`)
    : connect(client.port, client.host)
  // The server closes it when the signal is sent. A failure is left to the pool, which asks again.
  socket.once("error", () => socket.destroy())
  socket.once("close", dealtWith)
  socket.once("connect", () => socket.write(packet))
  socket.resume()
}

/** Names by text, the same on every connection. */
const makeNames = () => {
  const names = new Map<string, string>()
  return (sql: string): string | undefined => {
    const known = names.get(sql)
    if (known !== undefined) return known
    if (names.size >= preparedMax || sql.length > preparedLengthMax) return undefined
    const name = `c${names.size}`
    names.set(sql, name)
    return name
  }
}

const queryOf = (statement: DriverStatement, nameOf: (sql: string) => string | undefined): Pg.QueryConfig => {
  const name = statement.prepare ? nameOf(statement.sql) : undefined
  return {
    text: statement.sql,
    ...(statement.params.length === 0 && name === undefined ? {} : { values: [...statement.params] }),
    ...(statement.arrays ? { rowMode: "array" as const } : {}),
    ...(name === undefined ? {} : { name })
  }
}

const wrap = (client: Pg.Client, nameOf: (sql: string) => string | undefined): DriverConnection => {
  let open = true
  client.on("error", () => (open = false))
  client.on("end", () => (open = false))
  return {
    isOpen: () => open,
    run: (statement, done) => {
      const running = Cancelling.make(done)
      client.query(
        queryOf(statement, nameOf),
        (error: Error | null, result: Pg.QueryResult | Array<Pg.QueryResult>) => {
          if (error !== null && error !== undefined) return running.done(Either.left(failure(error)))
          const last = Array.isArray(result) ? result.at(-1) : result
          running.done(Either.right({ rows: last?.rows ?? [], affected: last?.rowCount ?? 0 }))
        }
      )
      return () => running.cancel((dealtWith) => cancelRequest(client, dealtWith))
    },
    close: () => {
      open = false
      PgClient.close(client)
    }
  }
}

/** Connections through `pg`, for every runtime, with named prepared statements. */
export const make = (options: ConnectOptions): Driver => {
  const nameOf = options.prepared ? makeNames() : () => undefined
  return {
    name: "pg",
    connectionsMax: Number.POSITIVE_INFINITY,
    // An older PgBouncer may give the connection to another client between two of them.
    depthMax: options.prepared ? depthMax : 1,
    connect: (done) => {
      const client = PgClient.make(options)
      const connection = wrap(client, nameOf)
      client.connect((error: Error | null) => {
        if (error === null || error === undefined) return done(Either.right(connection))
        connection.close()
        done(Either.left(failure(error)))
      })
    },
    listen: (channel, ear) => listen(options, channel, ear)
  }
}
