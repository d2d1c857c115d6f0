/**
 * Our client on one real Postgres beside @effect/sql-pg as it comes, with Bun's SQL without Effect as the physical limit:
 * selects by key, 32 fibers at once, how soon an interrupted caller is free when every connection is busy, reads that are
 * batched, and what the observer costs.
 * `bun run bench database [ROUNDS]`
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as Database from "../layers/Database.ts"
import * as Settings from "../src/config/Settings.ts"
import * as Postgres from "../test/kit/Postgres.ts"
import { batchedReads } from "./database/batched.ts"
import { interruptMillis } from "./database/interrupt.ts"
import { createItems, selectsPerSecond } from "./database/selects.ts"
import { trackingOverhead } from "./database/tracking.ts"
import { median, report, table } from "./kit.ts"

const rounds = Number(process.argv[2] ?? 5)
const interruptions = 10
const poolMax = 10

const program = Effect.gen(function* () {
  const url = yield* Postgres.url
  const { database } = yield* Effect.provide(Settings.Settings, Settings.layerTest())
  const settings = { ...database, poolMax }
  const ours = ManagedRuntime.make(Layer.scopedContext(Database.connect({ url: Redacted.make(url) }, settings)))
  const theirs = ManagedRuntime.make(PgClient.layer({ url: Redacted.make(url), maxConnections: poolMax }))
  const raw = new Bun.SQL(url, { max: poolMax })
  yield* Effect.addFinalizer(() =>
    Effect.promise(async () => {
      await Promise.all([ours.dispose(), theirs.dispose(), raw.end()])
    })
  )
  yield* Effect.promise(() => createItems(raw))
  const perSecond = yield* Effect.promise(() => selectsPerSecond({ ours, theirs, raw }, rounds))
  console.log(
    table([
      { client: "ours", "selects/s": perSecond.ours },
      { client: "@effect/sql-pg", "selects/s": perSecond.theirs },
      { client: "raw Bun.SQL", "selects/s": perSecond.raw }
    ])
  )
  const free = yield* Effect.promise(() =>
    ours.runPromise(Effect.replicateEffect(interruptMillis(poolMax), interruptions))
  )
  const freeWithTheirs = yield* Effect.promise(() => theirs.runPromise(interruptMillis(poolMax)))
  console.log(
    table([
      { client: "ours", "free after ms": median(free), worst: Math.max(...free) },
      { client: "@effect/sql-pg", "free after ms": freeWithTheirs, worst: freeWithTheirs }
    ])
  )
  const reads = yield* Effect.promise(() => batchedReads({ ours, theirs }, rounds))
  console.log(
    table([
      { "reads by key": "256 fibers, our batcher", "reads/s": reads.byFibers.ours },
      { "reads by key": "256 fibers, SqlResolver on our client", "reads/s": reads.byFibers.resolver },
      { "reads by key": "256 fibers, SqlResolver on @effect/sql-pg", "reads/s": reads.byFibers.resolverOnSqlPg },
      { "reads by key": "lists of 256, our batcher", "reads/s": reads.byLists.ours },
      { "reads by key": "lists of 256, SqlResolver on our client", "reads/s": reads.byLists.resolver }
    ])
  )
  const tracking = yield* trackingOverhead(url, settings)
  console.log(
    table([
      { observer: "on", "selects/s": tracking.on },
      { observer: "off", "selects/s": tracking.off }
    ])
  )
  report("database", {
    sql_vs_sql_pg: perSecond.ours / perSecond.theirs,
    sql_vs_bun_sql: perSecond.ours / perSecond.raw,
    interrupt_full_pool_millis: Math.max(...free),
    // Of the two shapes the one that is worse for us.
    batched_reads_per_second_vs_sqlresolver: Math.min(
      reads.byFibers.ours / Math.max(reads.byFibers.resolver, reads.byFibers.resolverOnSqlPg),
      reads.byLists.ours / reads.byLists.resolver
    ),
    slow_query_tracking_overhead: tracking.overhead
  })
})

await Effect.runPromise(Effect.scoped(program))
process.exit(0)
