/**
 * The whole application as one bundle, with its own Postgres: how long a message takes to its readers, what the process
 * holds in memory under load, and what 10,000 people hold who wait.
 */
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import Pg from "pg"
import * as DataDir from "../../layers/database/DataDir.ts"
import * as EmbeddedPostgres from "../../layers/database/EmbeddedPostgres.ts"
import * as Ids from "../../src/domain/Ids.ts"
import * as Token from "../../src/session/Token.ts"
import { bundle, load, rssMegabytes, start, type Started, stop } from "./load.ts"
import type { Part } from "./surface.ts"

/** Each has two people with one socket each. */
const talksHeard = 500
/** Messages of the talk that is read under load. */
const messagesRead = 20
/** Requests under load that may be refused: all but a few must be answered, or it is refusals that are measured. */
const refusedShareMax = 0.01
const idleSubscriptions = 10_000
/** From when all are there until they count as idle: the engine collects what their coming left behind. */
const settleMillis = 30_000

export interface Talk {
  readonly interactionId: string
  readonly tokens: readonly [string, string]
}

const uuid = (): string => {
  const hex = randomBytes(16).toString("hex")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
}

const connection = async (dataDir: string): Promise<Pg.Client> => {
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
  return client
}

/** People who talk in pairs, with a session each, written by hand: nobody waits for a password's hash. */
const people = async (dataDir: string, talks: number): Promise<ReadonlyArray<Talk>> => {
  const client = await connection(dataDir)
  const interactions = Array.from({ length: talks }, uuid)
  const users = Array.from({ length: talks * 2 }, uuid)
  const tokens = users.map(() => randomBytes(32).toString("base64url"))
  await client.query("insert into interactions (id, started_at) select unnest($1::uuid[]), now()", [interactions])
  await client.query(
    `insert into users (id, handle, display_name, created_at, updated_at)
     select id, 'p_' || n, 'p_' || n, now(), now() from unnest($1::uuid[]) with ordinality as u (id, n)`,
    [users]
  )
  await client.query(
    `insert into participants (interaction_id, user_id, joined_at)
     select i, u, now() from unnest($1::uuid[], $2::uuid[]) as p (i, u)`,
    [users.map((_, n) => interactions[n >> 1]), users]
  )
  await client.query(
    `insert into sessions (id, user_id, token_hash, created_at, last_used_at, expires_at, absolute_expires_at)
     select id, u, h, now(), now(), now() + interval '1 day', now() + interval '1 day'
     from unnest($1::uuid[], $2::uuid[], $3::bytea[]) as s (id, u, h)`,
    [users.map(uuid), users, tokens.map((token) => Token.bytes(Token.hash(token)))]
  )
  await client.end()
  return interactions.map((id, n) => ({
    interactionId: Ids.toGlobal("Interaction", id),
    tokens: [tokens[n * 2]!, tokens[n * 2 + 1]!]
  }))
}

/** A program of the bench that says one line; it ends when it is killed, or by itself. */
const begin = (program: string, input: unknown) => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, program)], {
    stdin: new Blob([JSON.stringify(input)]),
    stdout: "pipe",
    stderr: "inherit"
  })
  const said = child.stdout
    .getReader()
    .read()
    .then(({ value }) => {
      if (value === undefined) throw new Error(`${program} ended without a word`)
      return JSON.parse(new TextDecoder().decode(value)) as Record<string, number>
    })
  return { said, end: () => child.kill() }
}

/** Words in the first of the talks, as each page of them is read. */
const say = async (dataDir: string, talk: Talk): Promise<void> => {
  const client = await connection(dataDir)
  await client.query(
    `insert into messages (id, interaction_id, seq, sender_id, client_key, body, body_hash, created_at)
     select gen_random_uuid(), p.interaction_id, seq, p.user_id, 'said-' || seq,
       'Did you know that in the sixties the top bowlers made more than the top players? ' || seq, decode(md5('x'), 'hex'), now()
     from generate_series(1, $2) as seq
     join lateral (select * from participants where interaction_id = $1 order by user_id offset seq % 2 limit 1) as p on true`,
    [Ids.fromGlobal(talk.interactionId)!.uuid, messagesRead]
  )
  await client.query("update interactions set last_seq = $2 where id = $1", [
    Ids.fromGlobal(talk.interactionId)!.uuid,
    messagesRead
  ])
  await client.end()
}

/** Subscriptions to the inbox that the server says it has. */
const inboxes = async (url: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/socket_subscriptions\{field="inbox"\} (\d+)/.exec(text)?.[1] ?? 0)
}

const loaded = async (gateway: Started, url: string, talk: Talk): Promise<number> => {
  const query = `query ($id: ID!) { interaction(id: $id) { id messages(first: 20) { edges { cursor node {
    id seq body createdAt sender { id handle displayName } } } } } }`
  const messages = JSON.stringify({ query, variables: { id: talk.interactionId } })
  const user = JSON.stringify({ query: `{ user(handle: "p_11") { id handle displayName bio } }` })
  let rss = 0
  const watch = setInterval(() => {
    rss = Math.max(rss, rssMegabytes(gateway.pid))
  }, 100)
  const target = { url: `${url}/graphql`, pid: gateway.pid }
  const headers = [`authorization: Bearer ${talk.tokens[0]}`]
  // Cold, it refuses whoever would wait for too long.
  await load(target, 3, messages, headers)
  for (let n = 0; n < 4; n++) {
    const { answered, failed } = await load(target, 3, n % 2 === 0 ? messages : user, headers)
    if (failed > answered * refusedShareMax) throw new Error(`${failed} of ${answered} requests were refused`)
  }
  clearInterval(watch)
  return rss
}

/** Memory of a process that did nothing else, so that what is measured is what waits. */
const waiting = async (url: string, gateway: Started, talks: ReadonlyArray<Talk>): Promise<number> => {
  const before = rssMegabytes(gateway.pid)
  const people = begin("idle.ts", { url, talks })
  await people.said
  await Bun.sleep(settleMillis)
  const open = await inboxes(url)
  if (open !== idleSubscriptions) throw new Error(`Only ${open} of ${idleSubscriptions} subscriptions wait`)
  const megabytes = rssMegabytes(gateway.pid) - before
  people.end()
  return megabytes
}

/** The whole application as one bundle with its own Postgres, and people in it who talk. */
const withGateway = async <A>(
  name: string,
  folder: string,
  talks: number,
  use: (url: string, gateway: Started, talks: ReadonlyArray<Talk>, dataDir: string) => Promise<A>,
  env: Readonly<Record<string, string>> = {}
): Promise<A> => {
  const dataDir = join(folder, name)
  const gateway = await start([process.execPath, await bundle("services/gateway.ts", "gateway")], {
    NODE_ENV: "production",
    PORT: "0",
    DATA_DIR: dataDir,
    LOG_LEVEL: "Warning",
    // The readers and writers of the bench come from addresses of their own.
    TRUSTED_PROXIES: "127.0.0.1",
    ...env
  })
  const made = await use(/http:\S+/.exec(gateway.lines[0]!)![0], gateway, await people(dataDir, talks), dataDir)
  await stop(gateway)
  return made
}

const fanout: Part = async ({ folder }) => {
  const heard = await withGateway(
    "fanout",
    folder,
    talksHeard,
    (url, _, talks) => begin("fanout.ts", { url, talks }).said
  )
  return {
    fanout_delivery_millis_p99: heard["p99"]!,
    fanout_delivery_millis_p50: heard["p50"]!,
    fanout_delivery_millis_max: heard["max"]!,
    fanout_generator_late_millis_p99: heard["late"]!,
    fanout_refused: heard["refused"]!
  }
}

/** One person asks for all, as fast as they are answered: nobody's limit, and no overload. */
const unlimited = { ENABLE_RATE_LIMIT: "false", CONCURRENCY_DELAY: "10000" }

const memory: Part = async ({ folder }) => ({
  gateway_rss_megabytes: await withGateway(
    "memory",
    folder,
    talksHeard,
    async (url, gateway, [talk], dataDir) => {
      await say(dataDir, talk!)
      return loaded(gateway, url, talk!)
    },
    unlimited
  )
})

const idle: Part = async ({ folder }) => {
  const megabytes = await withGateway("idle", folder, idleSubscriptions / 2, waiting)
  return { idle_10k_mb: megabytes, idle_subscription_kb: (megabytes * 1_024) / idleSubscriptions }
}

/** The figures of the whole application, each of a process of its own. */
export const parts: Readonly<Record<string, Part>> = { fanout, memory, idle }
