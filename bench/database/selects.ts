import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import { median } from "../kit.ts"

const fibers = 32

/** Short turns: what else the machine does then falls on all of them alike. */
const turnMillis = 100
const turnsEach = 7
/** Rounds that do not count: the engine compiles for some hundred thousand selects of each way. */
const roundsBefore = 12
const items = 10_000

type Runtime = ManagedRuntime.ManagedRuntime<SqlClient.SqlClient, unknown>

/** The table that `selectsPerSecond` reads. */
export const createItems = async (raw: Bun.SQL): Promise<void> => {
  await raw`create table items as select id, md5(id::text) as body from generate_series(1, ${items}::int) id`
  await raw`alter table items add primary key (id)`
}

const keys = () => {
  let key = 0
  return () => (key++ % items) + 1
}

const throughEffect = (runtime: Runtime) => async (): Promise<number> => {
  const nextKey = keys()
  let done = 0
  const until = performance.now() + turnMillis
  const all = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const select = Effect.suspend(() => sql`select id, body from items where id = ${nextKey()}`)
    const fiber = Effect.gen(function* () {
      while (performance.now() < until) {
        yield* select
        done++
      }
    })
    yield* Effect.replicateEffect(fiber, fibers, { concurrency: "unbounded", discard: true })
  })
  // As in production where no collector of traces is set, for both of them.
  await runtime.runPromise(Effect.withTracerEnabled(all, false))
  return done
}

const throughPromises = (raw: Bun.SQL) => async (): Promise<number> => {
  const nextKey = keys()
  let done = 0
  const until = performance.now() + turnMillis
  const worker = async (): Promise<void> => {
    while (performance.now() < until) {
      await raw`select id, body from items where id = ${nextKey()}`
      done++
    }
  }
  await Promise.all(Array.from({ length: fibers }, worker))
  return done
}

/** Selects by key per second, 32 at once, in turns; medians over all turns but those that warm up. */
export const selectsPerSecond = async (
  clients: { readonly ours: Runtime; readonly theirs: Runtime; readonly raw: Bun.SQL },
  rounds: number
): Promise<{ readonly ours: number; readonly theirs: number; readonly raw: number }> => {
  const ways = {
    ours: throughEffect(clients.ours),
    theirs: throughEffect(clients.theirs),
    raw: throughPromises(clients.raw)
  }
  const seen: Record<keyof typeof ways, Array<number>> = { ours: [], theirs: [], raw: [] }
  for (let turn = -roundsBefore * turnsEach; turn < rounds * turnsEach; turn++) {
    for (const name of Object.keys(ways) as ReadonlyArray<keyof typeof ways>) {
      const began = performance.now()
      const done = await ways[name]()
      if (turn >= 0) seen[name].push((done * 1_000) / (performance.now() - began))
    }
  }
  return { ours: median(seen.ours), theirs: median(seen.theirs), raw: median(seen.raw) }
}
