/** People who talk in pairs, written by hand into the gateway's own Postgres: nobody waits for a password's hash. */
import { randomBytes } from "node:crypto"
import Pg from "pg"
import * as DataDir from "../../layers/database/DataDir.ts"
import * as EmbeddedPostgres from "../../layers/database/EmbeddedPostgres.ts"
import * as Ids from "../../src/domain/Ids.ts"
import * as Token from "../../src/session/Token.ts"

export interface Crowd {
  readonly pairs: number
  /** Said in each talk already. */
  readonly messagesEach: number
  /** Sessions that are there to be signed out. */
  readonly leaving: number
}

/** Six hundred people in three hundred talks of thirty messages. */
const usual: Crowd = { pairs: 300, messagesEach: 30, leaving: 4_000 }

export interface Person {
  readonly handle: string
  readonly token: string
  readonly interactionId: string
}

export interface People {
  readonly people: ReadonlyArray<Person>
  /** Tokens of sessions that nothing else uses. */
  readonly leaving: ReadonlyArray<string>
}

const uuid = (): string => {
  const hex = randomBytes(16).toString("hex")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
}

/** How to reach the Postgres that a gateway on this folder has brought. */
export const embeddedIn = (dataDir: string): Pg.ClientConfig => {
  const holder = DataDir.holderOf(dataDir)
  if (holder?.socketFolder === undefined) throw new Error("The bench needs the embedded Postgres")
  const address = EmbeddedPostgres.addressOf(holder.socketFolder)
  return {
    host: holder.socketFolder,
    port: "port" in address ? address.port : 5_432,
    user: "user" in address ? address.user : "postgres",
    database: "database" in address ? address.database : "postgres"
  }
}

/** Everybody in the order of their talks, so that the two of a talk are next to each other. */
export const make = async (
  database: Pg.ClientConfig,
  { leaving, messagesEach, pairs }: Crowd = usual
): Promise<People> => {
  const client = new Pg.Client(database)
  await client.connect()
  const interactions = Array.from({ length: pairs }, uuid)
  const users = Array.from({ length: 2 * pairs }, (_, n) => ({
    id: uuid(),
    handle: `person_${n}`,
    token: randomBytes(32).toString("base64url"),
    interaction: interactions[n >> 1]!
  }))
  const tokens = Array.from({ length: leaving }, () => randomBytes(32).toString("base64url"))
  await client.query(
    `insert into users (id, handle, display_name, bio, interests, created_at, updated_at)
     select id, handle, initcap(handle), 'Likes chess and long walks', '{chess,music}', now(), now()
     from unnest($1::uuid[], $2::text[]) as u (id, handle)`,
    [users.map(({ id }) => id), users.map(({ handle }) => handle)]
  )
  await client.query(
    "insert into interactions (id, started_at, last_seq) select id, now(), $2 from unnest($1::uuid[]) id",
    [interactions, messagesEach]
  )
  await client.query(
    `insert into participants (interaction_id, user_id, joined_at)
     select i, u, now() from unnest($1::uuid[], $2::uuid[]) as p (i, u)`,
    [users.map(({ interaction }) => interaction), users.map(({ id }) => id)]
  )
  await client.query(
    `with said as (
       insert into messages (id, interaction_id, seq, sender_id, client_key, body, body_hash, created_at)
       select gen_random_uuid(), i, seq, case when seq % 2 = 0 then a else b end, 'seed-' || seq,
         'Did you know that bowlers of the sixties made more than players? ' || seq, decode(md5('x'), 'hex'), now()
       from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as t (i, a, b), generate_series(1, $4) as seq
       returning id, interaction_id, seq, sender_id
     ) insert into events (interaction_id, seq, kind, message_id, user_id, created_at)
       select interaction_id, seq, 1, id, sender_id, now() from said`,
    [
      interactions,
      interactions.map((_, n) => users[2 * n]!.id),
      interactions.map((_, n) => users[2 * n + 1]!.id),
      messagesEach
    ]
  )
  const sessions = [
    ...users.map(({ id, token }) => ({ id, token })),
    ...tokens.map((token, n) => ({ id: users[n % users.length]!.id, token }))
  ]
  await client.query(
    `insert into sessions (id, user_id, token_hash, created_at, last_used_at, expires_at, absolute_expires_at)
     select s, u, decode(h, 'hex'), now(), now(), now() + interval '1 day', now() + interval '1 day'
     from unnest($1::uuid[], $2::uuid[], $3::text[]) as r (s, u, h)`,
    [sessions.map(uuid), sessions.map(({ id }) => id), sessions.map(({ token }) => Token.toHex(Token.hash(token)))]
  )
  await client.query("analyze")
  await client.end()
  return {
    people: users.map(({ handle, token, interaction }) => ({
      handle,
      token,
      interactionId: Ids.toGlobal("Interaction", interaction)
    })),
    leaving: tokens
  }
}
