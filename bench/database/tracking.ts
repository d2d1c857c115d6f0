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
/** Slices with and without the observer: the ratio of two is out by a tenth as a rule, the median of so many by 0.005. */
const pairs = 420
/** Pairs that do not count: the engine compiles for some hundred thousand selects. */
const pairsBefore = 60

/** Watches nothing. */
const blind: Observer.Observer = {
  now: () => performance.now(),
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
export const trackingOverhead = (url: string, settings: Shape["database"]) =>
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
    const on = yield* Client.make(
      { pool, observer, alarm, millisMax: Infinity, boundaryMillisMax: Infinity },
      writes,
      "bench"
    )
    const off = yield* Client.make(
      { pool, observer: blind, alarm, millisMax: Infinity, boundaryMillisMax: Infinity },
      writes,
      "bench"
    )
    const seen: Array<{ readonly on: number; readonly off: number }> = []
    for (let pair = -pairsBefore; pair < pairs; pair++) {
      // Whoever is first has the other's garbage to collect, so they take turns in that, too.
      const onFirst = pair % 2 === 0
      const first = yield* slice(onFirst ? on : off)
      const second = yield* slice(onFirst ? off : on)
      if (pair >= 0) seen.push(onFirst ? { on: first, off: second } : { on: second, off: first })
    }
    return {
      on: median(seen.map((one) => one.on)),
      off: median(seen.map((one) => one.off)),
      overhead: median(seen.map((one) => one.off / one.on - 1))
    }
  })
