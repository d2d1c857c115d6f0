import type { Ear } from "../../src/database/Driver.ts"
import type { ConnectOptions } from "./Address.ts"
import { failure } from "./DriverOutcome.ts"
import * as PgClient from "./PgClient.ts"

/** Listens to a channel on a connection of its own. Ends with what it returns, or with `lost`. */
export const listen = (options: ConnectOptions, channel: string, ear: Ear): (() => void) => {
  const client = PgClient.make(options)
  let isOver = false
  const close = () => {
    isOver = true
    PgClient.close(client)
  }
  const lost = (cause: unknown) => {
    if (isOver) return
    close()
    ear.lost(failure(cause))
  }
  client.on("notification", ({ payload }) => ear.notified(payload ?? ""))
  client.on("error", lost)
  client.on("end", () => lost(new Error("The connection that listened has ended")))
  client
    .connect()
    .then(() => client.query(`listen ${client.escapeIdentifier(channel)}`))
    .then(() => {
      if (!isOver) ear.began()
    }, lost)
  return close
}
