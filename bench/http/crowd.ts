/**
 * The whole application as one bundle, with its own Postgres: what it holds in memory under load and with 10,000
 * subscriptions that wait, and how long a message takes to its readers.
 */
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import Pg from "pg"
import * as DataDir from "../../layers/database/DataDir.ts"
import * as EmbeddedPostgres from "../../layers/database/EmbeddedPostgres.ts"
import * as Ids from "../../src/domain/Ids.ts"
import * as Token from "../../src/session/Token.ts"
import { bundle, load, rssMegabytes, start, stop } from "./load.ts"

const talks = 500
const idleSubscriptions = 10_000

export interface Talk {
  readonly interactionId: string
  readonly tokens: readonly [string, string]
}

const uuid = (): string => {
  const hex = randomBytes(16).toString("hex")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
}

/** People who talk in pairs, with a session each, written by hand: nobody waits for a password's hash. */
const people = async (dataDir: string): Promise<ReadonlyArray<Talk>> => {
  const holder = DataDir.holderOf(dataDir)
  if (holder?.socketFolder === undefined) throw new Error("The bench needs the embedded Postgres")
  const address = EmbeddedPostgres.addressOf(holder.socketFolder)
  const client = new Pg.Client({
    host: holder.socketFolder,
    port: "port" in address ? address.port : 5_432,
    user: "user" in address ? address.user : "postgres",
    database: "database" in address ? address.database : "postgres"
  })
  await client.connect()
  const made: Array<Talk> = []
  for (let n = 0; n < talks; n++) {
    const interactionId = uuid()
    await client.query("insert into interactions (id, started_at) values ($1, now())", [interactionId])
    const tokens = [0, 1].map(() => randomBytes(32).toString("base64url")) as [string, string]
    for (const [index, token] of tokens.entries()) {
      const user = uuid()
      await client.query(
        `insert into users (id, handle, display_name, created_at, updated_at) values ($1, $2, $2, now(), now())`,
        [user, `p_${n}_${index}`]
      )
      await client.query("insert into participants (interaction_id, user_id, joined_at) values ($1, $2, now())", [
        interactionId,
        user
      ])
      await client.query(
        `insert into sessions (id, user_id, token_hash, created_at, last_used_at, expires_at, absolute_expires_at)
         values ($1, $2, $3, now(), now(), now() + interval '1 day', now() + interval '1 day')`,
        [uuid(), user, Token.bytes(Token.hash(token))]
      )
    }
    made.push({ interactionId: Ids.toGlobal("Interaction", interactionId), tokens })
  }
  await client.end()
  return made
}

const run = async (program: string, input: unknown): Promise<Record<string, number>> => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, program)], {
    stdin: new Blob([JSON.stringify(input)]),
    stdout: "pipe",
    stderr: "inherit"
  })
  return JSON.parse(await new Response(child.stdout).text()) as Record<string, number>
}

/** The figures of the whole application. */
export const crowd = async (folder: string): Promise<Record<string, number>> => {
  const dataDir = join(folder, "crowd")
  const program = await bundle("services/gateway.ts", "gateway")
  const gateway = await start([process.execPath, program], {
    NODE_ENV: "production",
    PORT: "0",
    DATA_DIR: dataDir,
    LOG_LEVEL: "Warning",
    // The readers and writers of the bench come from addresses of their own.
    TRUSTED_PROXIES: "127.0.0.1"
  })
  const url = /http:\S+/.exec(gateway.lines[0]!)![0]
  const made = await people(dataDir)

  const fanout = await run("fanout.ts", { url, talks: made, count: 0 })

  const query = `query ($id: ID!) { interaction(id: $id) { id messages(first: 20) { edges { cursor node {
    id seq body createdAt sender { id handle displayName } } } } } }`
  const body = JSON.stringify({ query, variables: { id: made[0]!.interactionId } })
  let rss = 0
  const watch = setInterval(() => {
    rss = Math.max(rss, rssMegabytes(gateway.pid))
  }, 100)
  const headers = [`authorization: Bearer ${made[0]!.tokens[0]}`]
  const target = { url: `${url}/graphql`, pid: gateway.pid }
  const user = JSON.stringify({ query: `{ user(handle: "p_1_1") { id handle displayName bio } }` })
  for (let n = 0; n < 4; n++)
    await load(target, 3, n % 2 === 0 ? body : user, [...headers, `x-forwarded-for: 10.9.0.${n}`])
  clearInterval(watch)

  const before = rssMegabytes(gateway.pid)
  const idle = Bun.spawn([process.execPath, join(import.meta.dir, "idle.ts")], {
    stdin: new Blob([JSON.stringify({ url, talks: made, count: idleSubscriptions })]),
    stdout: "pipe",
    stderr: "inherit"
  })
  const { done } = await idle.stdout.getReader().read()
  if (done) throw new Error("The idle subscriptions are not there")
  const during = rssMegabytes(gateway.pid)
  idle.kill()
  await stop(gateway)
  return {
    fanout_delivery_millis_p99: fanout["p99"]!,
    fanout_delivery_millis_p50: fanout["p50"]!,
    gateway_rss_megabytes: rss,
    idle_subscriptions_megabytes: during - before
  }
}
