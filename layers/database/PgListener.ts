import type { Ear } from "../../src/database/Driver.ts"
import type { ConnectOptions } from "./Address.ts"
import { failure } from "./DriverOutcome.ts"
import * as PgClient from "./PgClient.ts"

/** Who listens says nothing, so that a line which died without a word is only noticed by asking: so often. */
export const beatMillis = 10_000

/** Listens to a channel on a connection of its own. Ends with what it returns, or with `lost`. */
export const listen = (
  options: ConnectOptions,
  channel: string,
  ear: Ear,
  everyMillis: number = beatMillis
): (() => void) => {
  const client = PgClient.make(options)
  let isOver = false
  let isAsked = false
  const close = () => {
    isOver = true
    clearInterval(beat)
    PgClient.close(client)
  }
  const lost = (cause: unknown) => {
    if (isOver) return
    close()
    ear.lost(failure(cause))
  }
  const beat = setInterval(() => {
    if (isAsked) return lost(new Error(`The connection that listened has not answered for ${everyMillis} ms`))
    isAsked = true
    client.query("select 1").then(() => (isAsked = false), lost)
  }, everyMillis)
  beat.unref()
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
