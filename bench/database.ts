/**
 * Selects by key, 32 fibers at once, on one real Postgres: our client beside @effect/sql-pg as it comes, with Bun's SQL
 * without Effect as the physical limit. Interleaved; medians over the rounds.
 * `bun run bench database [ROUNDS]`
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as Database from "../layers/Database.ts"
import * as Settings from "../src/config/Settings.ts"
import * as Postgres from "../test/kit/Postgres.ts"
import { median, report, table } from "./kit.ts"

const rounds = Number(process.argv[2] ?? 5)
const fibers = 32
const millisEach = 700
const poolMax = 10

const program = Effect.gen(function* () {
  const url = yield* Postgres.url
  const ours = ManagedRuntime.make(
    Layer.unwrapEffect(
      Effect.map(Settings.Settings, ({ database }) =>
        Layer.scopedContext(Database.connect({ url: Redacted.make(url) }, { ...database, poolMax }))
      )
    ).pipe(Layer.provide(Settings.layerTest()))
  )
  const theirs = ManagedRuntime.make(PgClient.layer({ url: Redacted.make(url), maxConnections: poolMax }))
  const raw = new Bun.SQL(url, { max: poolMax })
  yield* Effect.addFinalizer(() =>
    Effect.promise(async () => {
      await Promise.all([ours.dispose(), theirs.dispose(), raw.end()])
    })
  )
  yield* Effect.promise(
    () => raw`create table items as select id, md5(id::text) as body from generate_series(1, 10000) id`
  )
  yield* Effect.promise(() => raw`alter table items add primary key (id)`)

  let done = 0
  let key = 0
  const inEffect = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const until = performance.now() + millisEach
    const select = Effect.suspend(() => sql`select id, body from items where id = ${(key++ % 10_000) + 1}`)
    const fiber = Effect.gen(function* () {
      while (performance.now() < until) {
        yield* select
        done++
      }
    })
    yield* Effect.all(
      Array.from({ length: fibers }, () => fiber),
      { concurrency: "unbounded" }
    )
  })
  // As in production where no collector of traces is set.
  const untraced = Effect.withTracerEnabled(inEffect, false)
  const inPromises = async (): Promise<void> => {
    const until = performance.now() + millisEach
    const worker = async (): Promise<void> => {
      while (performance.now() < until) {
        await raw`select id, body from items where id = ${(key++ % 10_000) + 1}`
        done++
      }
    }
    await Promise.all(Array.from({ length: fibers }, worker))
  }

  const ways = {
    ours: () => ours.runPromise(untraced),
    "sql-pg": () => theirs.runPromise(untraced),
    "raw Bun.SQL": inPromises
  }
  const seen: Record<keyof typeof ways, Array<number>> = { ours: [], "sql-pg": [], "raw Bun.SQL": [] }
  for (let round = 0; round <= rounds; round++) {
    for (const name of Object.keys(ways) as ReadonlyArray<keyof typeof ways>) {
      done = 0
      const began = performance.now()
      yield* Effect.promise(ways[name])
      // The first round warms up.
      if (round > 0) seen[name].push((done * 1_000) / (performance.now() - began))
    }
  }
  const perSecond = { ours: median(seen.ours), theirs: median(seen["sql-pg"]), raw: median(seen["raw Bun.SQL"]) }
  console.log(table(Object.entries(perSecond).map(([client, selects]) => ({ client, "selects/s": selects }))))
  report("database", {
    sql_vs_sql_pg: perSecond.ours / perSecond.theirs,
    sql_vs_bun_sql: perSecond.ours / perSecond.raw
  })
})

await Effect.runPromise(Effect.scoped(program))
process.exit(0)
