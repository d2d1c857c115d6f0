import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Database from "../../layers/Database.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import * as Settings from "../../src/config/Settings.ts"
import { UserId } from "../../src/domain/Ids.ts"
import * as Uuid from "../../src/domain/Uuid.ts"
import * as Claims from "../../src/queuing/Claims.ts"
import { defaultPool, layer, QueueActor } from "../../src/queuing/QueueActor.ts"
import { type InboxSignal, inboxTopic } from "../../src/queuing/Signal.ts"
import * as TicketTable from "../../src/queuing/TicketTable.ts"
import { crowd } from "./people.ts"

const folder = Effect.acquireRelease(
  Effect.promise(async () => {
    const made = await mkdtemp(join(tmpdir(), "connect-bench-"))
    await chmod(made, 0o755)
    return made
  }),
  (made) => Effect.promise(() => rm(made, { recursive: true, force: true }))
)

/** Nobody widens, so that those who should wait do. */
const hour = Duration.hours(1)

/** The queue's actor on the Postgres that every program brings, with fsync. */
export const system = Layer.unwrapScoped(
  Effect.map(folder, (dataDir) =>
    layer.pipe(
      Layer.provideMerge(Layer.mergeAll(ActorSystem.layerLocal, Broadcast.layerLocal, Database.layer)),
      Layer.provideMerge(
        Settings.layerTest((all) => ({
          ...all,
          database: { ...all.database, dataDir },
          queuing: { ...all.queuing, capacity: 200_000, interval: Duration.minutes(10), widenAfter: [hour, hour, hour] }
        }))
      )
    )
  )
)

/** People in the database. */
const inserted = (count: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ readonly id: string }>`
      insert into users (id, handle, display_name, created_at, updated_at)
      select id, 'u' || right(replace(id::text, '-', ''), 20), 'Bench', now(), now()
      from (select gen_random_uuid() as id from generate_series(1, ${count}::int)) made returning id`
    return rows.map(({ id }) => UserId.make(id))
  })

const zipf = (count: number, seed: number) => crowd({ count, interests: 500, each: 5, spread: "zipf", seed })

/** Everyone joins at once, 256 calls in flight; how many tickets and matches a second are in Postgres. */
export const throughput = (count: number) =>
  Effect.gen(function* () {
    const queue = (yield* QueueActor.client).ask(defaultPool)
    const sql = yield* SqlClient.SqlClient
    const users = yield* inserted(count)
    const people = zipf(count, 3)
    const before = yield* matchCount(sql)
    const startedAt = performance.now()
    yield* Effect.forEach(
      users,
      (userId, n) => {
        const { interests, languages } = people[n]!
        return queue.Join({ userId, clientKey: "k", interests, languages, region: null })
      },
      { concurrency: 256, discard: true }
    )
    const joinedAt = performance.now()
    let matches = 0
    for (let last = -1; matches !== last; yield* Effect.sleep("150 millis")) {
      last = matches
      matches = (yield* matchCount(sql)) - before
    }
    const endedAt = performance.now() - 300
    return {
      joins: (count / (joinedAt - startedAt)) * 1_000,
      matches: (matches / (Math.max(joinedAt, endedAt) - startedAt)) * 1_000,
      unmatched: count - matches * 2
    }
  })

const matchCount = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ readonly n: number }>`select count(*)::int as n from matches`, (rows) => rows[0]!.n)

/** Claims alone, in full batches one after the other: what Postgres can do with these statements. */
export const claimsAlone = (pairs: number, size: number = Claims.claimsMax) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const users = yield* inserted(pairs * 2)
    const now = new Date(yield* Clock.currentTimeMillis)
    const limits = { now, recentMillis: 60_000, idleMillis: 60_000, activeMax: 10 }
    const drafts: Array<TicketTable.Draft> = []
    for (const userId of users)
      drafts.push({
        id: yield* Uuid.v7,
        userId,
        clientKey: "k",
        interests: ["chess"],
        languages: ["en"],
        region: null,
        createdAt: now.getTime(),
        room: true
      })
    for (let at = 0; at < drafts.length; at += 1_000) yield* TicketTable.join(sql, drafts.slice(at, at + 1_000), limits)
    const claims: Array<Claims.Claim> = []
    for (let at = 0; at < drafts.length; at += 2) {
      const [a, b] = [drafts[at]!, drafts[at + 1]!]
      const [matchId, interactionId] = [yield* Uuid.v7, yield* Uuid.v7]
      const users = [a.userId, b.userId] as const
      claims.push({ matchId, interactionId, first: a.id, second: b.id, users, level: 0, score: 4, sharedInterests: [] })
    }
    const startedAt = performance.now()
    for (let at = 0; at < claims.length; at += size) yield* Claims.settle(sql, claims.slice(at, at + size), limits)
    return (pairs / (performance.now() - startedAt)) * 1_000
  })

/** At that many joins a second while so many wait: milliseconds from the call to MatchFound at each of the two. */
export const latency = (waiting: number, perSecond: number, seconds: number) =>
  Effect.gen(function* () {
    const queue = (yield* QueueActor.client).ask(defaultPool)
    const broadcast = yield* Broadcast.Broadcast
    const crowdUsers = yield* inserted(waiting)
    yield* Effect.forEach(
      crowdUsers,
      (userId, n) =>
        queue.Join({ userId, clientKey: "k", interests: [`alone-${n}`], languages: ["en"], region: `r${n % 6}` }),
      { concurrency: 512, discard: true }
    )
    const users = yield* inserted(perSecond * seconds)
    const millis: Array<number> = []
    const one = (userId: UserId, n: number) =>
      Effect.gen(function* () {
        const signals = yield* Broadcast.signals<InboxSignal>(broadcast, inboxTopic(userId))
        yield* Effect.sleep(Duration.millis((n * 1_000) / perSecond))
        const startedAt = performance.now()
        const interests = [`pair-${n >> 1}`]
        const found = yield* Effect.fork(Stream.runHead(signals))
        yield* queue.Join({ userId, clientKey: "k", interests, languages: ["en"], region: null })
        yield* Fiber.join(found)
        // The first of a pair waits for the second to come; the second's time is what the system takes.
        if (n % 2 === 1) millis.push(performance.now() - startedAt)
      }).pipe(Effect.scoped)
    yield* Effect.forEach(users, one, { concurrency: "unbounded", discard: true })
    return millis
  })
