/**
 * How fast messages are acknowledged: 200 interactions, each with one person who says the next thing as soon as the
 * last one is stored, through the actor and the group committer, on Postgres with fsync. Beside it what Postgres
 * itself can do with the same rows when they are there beforehand and are written by hand in batches of the same size.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Database from "../layers/Database.ts"
import * as Broadcast from "../src/broadcast/Broadcast.ts"
import * as Settings from "../src/config/Settings.ts"
import * as Ids from "../src/domain/Ids.ts"
import * as EventLog from "../src/interaction/EventLog.ts"
import * as InteractionActor from "../src/interaction/InteractionActor.ts"
import * as Talk from "../test/interaction/Talk.ts"
import { median, percentile, report, table } from "./kit.ts"

const interactionsAtOnce = Number(process.argv[2] ?? 200)
const rounds = 3
const roundMillis = 3_000
const body = "I know right! Did you know that in the 60's top bowlers made more than top players?"

/** The embedded Postgres that every program brings, in a folder of its own. */
const database = Layer.unwrapScoped(
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const folder = await mkdtemp(join(tmpdir(), "connect-bench-"))
        await chmod(folder, 0o755)
        return folder
      }),
      (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
    ),
    (dataDir) =>
      Layer.provide(
        Database.layer,
        Settings.layerTest((settings) => ({ ...settings, database: { ...settings.database, dataDir } }))
      )
  )
)

const system = Talk.layerProcess.pipe(Layer.provideMerge(Broadcast.layerLocal), Layer.provideMerge(database))

/** Interactions of two people each; returns who speaks in which. */
const talks = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const make = Effect.gen(function* () {
    const [id, ada, bob] = [
      yield* Ids.make(Ids.InteractionId),
      yield* Ids.make(Ids.UserId),
      yield* Ids.make(Ids.UserId)
    ]
    for (const user of [ada, bob]) {
      const handle = `u${user.slice(-20).replaceAll("-", "")}`
      yield* sql`insert into users (id, handle, display_name, created_at, updated_at)
        values (${user}::uuid, ${handle}, ${handle}, now(), now())`
    }
    yield* sql`insert into interactions (id, started_at) values (${id}::uuid, now())`
    yield* sql`insert into participants (interaction_id, user_id, joined_at)
      select ${id}::uuid, id, now() from users where id in (${ada}::uuid, ${bob}::uuid)`
    return { id, ada, bob }
  })
  return yield* Effect.replicateEffect(make, interactionsAtOnce)
})

const ours = Effect.gen(function* () {
  const { ask } = yield* InteractionActor.InteractionActor.client
  const all = yield* talks
  const millis: Array<number> = []
  // The first message of each finds its actor asleep.
  yield* Effect.forEach(
    all,
    ({ bob, id }) => ask(id).Send({ userId: bob, clientKey: "first", body, state: "VISIBLE" }),
    { concurrency: "unbounded", discard: true }
  )
  const startedAt = performance.now()
  yield* Effect.forEach(
    all,
    ({ ada, id }) =>
      Effect.gen(function* () {
        for (let n = 0; performance.now() - startedAt < roundMillis; n++) {
          const sentAt = performance.now()
          yield* ask(id).Send({ userId: ada, clientKey: `k${n}`, body, state: "VISIBLE" })
          millis.push(performance.now() - sentAt)
        }
      }),
    { concurrency: "unbounded", discard: true }
  )
  return { perSecond: (millis.length / (performance.now() - startedAt)) * 1_000, millis }
})

/** The same rows as `ours` writes, one batch after the other on one connection. */
const byHand = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const all = yield* talks
  const ids = all.map(({ id }) => id)
  const senders = all.map(({ ada }) => ada)
  const bodies = all.map(() => body)
  const hashes = all.map(() => EventLog.bodyHash(body))
  const startedAt = performance.now()
  let rows = 0
  for (let seq = 1; performance.now() - startedAt < roundMillis; seq++) {
    const messages = yield* Effect.forEach(all, () => Ids.make(Ids.MessageId))
    const at = new Date(yield* Clock.currentTimeMillis).toISOString()
    yield* sql`with m as (
  insert into messages (id, interaction_id, seq, sender_id, client_key, body, body_hash, created_at)
  select id, i, ${seq}::int, s, ${`k${seq}`}, b, decode(h, 'hex'), ${at}::timestamptz
  from unnest(${messages}::uuid[], ${ids}::uuid[], ${senders}::uuid[], ${bodies}::text[], ${hashes}::text[])
    as r (id, i, s, b, h)
  returning id, interaction_id, sender_id
), e as (
  insert into events (interaction_id, seq, kind, message_id, user_id, created_at)
  select interaction_id, ${seq}::int, 1, id, sender_id, ${at}::timestamptz from m
) update interactions set last_seq = ${seq}::int where id = any(${ids}::uuid[])`
    rows += all.length
  }
  return (rows / (performance.now() - startedAt)) * 1_000
})

const program = Effect.gen(function* () {
  const rows: Array<Record<string, string | number>> = []
  yield* ours
  for (let round = 1; round <= rounds; round++) {
    const limit = yield* byHand
    const { millis, perSecond } = yield* ours
    rows.push({
      round: String(round),
      "acks/s": perSecond,
      "p50 ms": percentile(millis, 0.5),
      "p99 ms": percentile(millis, 0.99),
      "by hand rows/s": limit,
      share: perSecond / limit
    })
  }
  console.log(table(rows as Array<Record<string, number>>))
  const of = (column: string) => median(rows.map((row) => Number(row[column])))
  report("message", {
    interactions: interactionsAtOnce,
    acksPerSecond: of("acks/s"),
    ackMillisP50: of("p50 ms"),
    ackMillisP99: of("p99 ms"),
    byHandRowsPerSecond: of("by hand rows/s"),
    shareOfLimit: of("share")
  })
})

await Effect.runPromise(program.pipe(Effect.provide(system)))
