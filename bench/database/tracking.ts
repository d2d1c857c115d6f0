import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Database from "../../layers/Database.ts"
import type { Shape } from "../../src/config/Settings.ts"
import * as Alarm from "../../src/database/Alarm.ts"
import * as Client from "../../src/database/Client.ts"
import * as Observer from "../../src/database/Observer.ts"
import * as Pool from "../../src/database/Pool.ts"
import * as Writes from "../../src/database/Writes.ts"
import { median } from "../kit.ts"

const fibers = 32
const items = 10_000
const sliceMillis = 60

/** Watches nothing. */
const blind: Observer.Observer = {
  totals: { queries: 0, failures: 0, slow: 0, millis: 0 },
  slowQueries: () => [],
  watch: () => ({ begin: () => {}, end: (outcome) => outcome, leave: () => {}, ended: () => {} })
}

/** Selects per second by 32 fibers over a slice of time. */
const slice = (sql: SqlClient.SqlClient): Effect.Effect<number> =>
  Effect.gen(function* () {
    let done = 0
    let key = 0
    const began = performance.now()
    const until = began + sliceMillis
    const select = Effect.suspend(() => sql`select id, body from items where id = ${(key++ % items) + 1}`)
    const fiber = Effect.gen(function* () {
      while (performance.now() < until) {
        yield* select
        done++
      }
    })
    yield* Effect.replicateEffect(fiber, fibers, { concurrency: "unbounded", discard: true })
    return (done * 1_000) / (performance.now() - began)
  }).pipe(Effect.withTracerEnabled(false), Effect.orDie)

/**
 * What timing, counting and the slow log cost a select by key, as a share of it: one pool, our client with its observer
 * and with one that does nothing, in turns of 60 ms. The median over all pairs of turns.
 */
export const trackingOverhead = (url: string, settings: Shape["database"], pairs: number) =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const driver = yield* Database.driverFor({ url: Redacted.make(url) }, settings)
    const now = () => clock.unsafeCurrentTimeMillis()
    const pool = yield* Effect.acquireRelease(
      Effect.sync(() => Pool.make({ driver, max: settings.poolMax, min: settings.poolMax, now })),
      (opened) => Effect.sync(opened.close)
    )
    const alarm = yield* Alarm.make
    const plans = { planOf: () => null, want: () => {} }
    const writes = Writes.make()
    const observer = Observer.make({ clock, plans, writes, slowMillis: 1_000, log: false })
    const on = yield* Client.make({ pool, observer, alarm, millisMax: Infinity }, writes, "bench")
    const off = yield* Client.make({ pool, observer: blind, alarm, millisMax: Infinity }, writes, "bench")
    yield* Effect.replicateEffect(Effect.zip(slice(on), slice(off)), 10)
    const seen: Array<{ readonly on: number; readonly off: number }> = []
    for (let pair = 0; pair < pairs; pair++) {
      // Whoever is first has the other's garbage to collect, so they take turns in that, too.
      if (pair % 2 === 0) seen.push({ on: yield* slice(on), off: yield* slice(off) })
      else {
        const second = yield* slice(off)
        seen.push({ off: second, on: yield* slice(on) })
      }
    }
    return {
      on: median(seen.map((one) => one.on)),
      off: median(seen.map((one) => one.off)),
      overhead: median(seen.map((one) => one.off / one.on - 1))
    }
  })
