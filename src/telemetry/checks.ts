import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Supervised from "../actor/Supervised.ts"
import { Database } from "../database/Database.ts"
import { Sessions } from "../session/Sessions.ts"
import { Store } from "../store/Store.ts"
import * as Figures from "./Figures.ts"
import { Health, type Outcome } from "./Health.ts"
import * as Metrics from "./Metrics.ts"
import { Process } from "./Process.ts"

/** A round trip that takes longer is a warning. */
const slowMillis = 250
/** A timer that fires later than this is a warning: whatever the process answers, it answers late. */
const lateMillis = 100
/** Shares of the memory that may be used. */
const memoryWarn = 0.8
const memoryFail = 0.95
/** A restart within this time is a warning. */
const restartsRecent = Duration.minutes(5)

/** The checks of every program: database, cache, event loop, memory, supervised fibers. */
export const layer: Layer.Layer<never, never, Health | Database | Store | Process> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const health = yield* Health
    yield* Effect.all(
      [
        health.register({ name: "database", critical: true, run: database(yield* Database) }),
        health.register({ name: "cache", critical: false, run: cache(yield* Store) }),
        health.register({ name: "event_loop", critical: false, run: eventLoop }),
        health.register({ name: "memory", critical: false, run: memory(yield* Process) }),
        health.register({ name: "fibers", critical: true, run: fibers(yield* Supervised.Registry) })
      ],
      { discard: true }
    )
  })
)

/** The check of the programs that know sessions. */
export const layerSessions: Layer.Layer<never, never, Health | Sessions> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const health = yield* Health
    const sessions = yield* Sessions
    yield* health.register({
      name: "sessions",
      critical: false,
      run: Effect.map(sessions.stats, ({ active, created, ended, endedBy, meanSeconds }): Outcome => {
        const reasons = Object.entries(endedBy).map(([reason, count]) => [`ended_${reason}`, count])
        const observed = { active, created, ended, ...Object.fromEntries(reasons) }
        return { status: "pass", observed: ended === 0 ? observed : { ...observed, meanSeconds: rounded(meanSeconds) } }
      })
    })
  })
)

const database = (database: typeof Database.Service): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const elapsed = yield* Effect.either(database.ping)
    const { backend, failures, meanMillis, pool, queries, slow } = yield* database.stats
    yield* Metric.set(Metrics.poolOpen, pool.open)
    yield* Metric.set(Metrics.poolMax, pool.max)
    yield* Metric.set(Metrics.poolWaiting, pool.waiting)
    if (elapsed._tag === "Left") return { status: "fail", details: elapsed.left.message, observed: { backend } }
    const roundTripMillis = rounded(Duration.toMillis(elapsed.right))
    const observed = {
      backend,
      roundTripMillis,
      poolMax: pool.max,
      poolOpen: pool.open,
      poolInUse: pool.inUse,
      poolWaiting: pool.waiting,
      queries,
      failures,
      slow,
      meanMillis: rounded(meanMillis)
    }
    if (pool.waiting > 0 && pool.inUse >= pool.max) {
      return { status: "warn", details: "All connections are in use and statements wait", observed }
    }
    return roundTripMillis > slowMillis
      ? { status: "warn", details: "The database answers slowly", observed }
      : { status: "pass", observed }
  })

const cache = (store: typeof Store.Service): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const elapsed = yield* Effect.either(store.ping)
    const hitRate = Figures.hitRate(yield* Figures.read, Figures.none)
    const observed = { backend: store.backend, ...(Number.isNaN(hitRate) ? {} : { hitRate: rounded(hitRate) }) }
    if (elapsed._tag === "Left") {
      return { status: "fail", details: "The store does not answer: reads go to the database", observed }
    }
    const roundTripMillis = rounded(Duration.toMillis(elapsed.right))
    return roundTripMillis > slowMillis
      ? { status: "warn", details: "The store answers slowly", observed: { ...observed, roundTripMillis } }
      : { status: "pass", observed: { ...observed, roundTripMillis } }
  })

/** One timer of 10 ms, to see how late it comes. */
const eventLoop: Effect.Effect<Outcome> = Effect.gen(function* () {
  const start = yield* Clock.currentTimeNanos
  yield* Effect.sleep("10 millis")
  const delayMillis = rounded(Math.max(0, Number((yield* Clock.currentTimeNanos) - start) / 1e6 - 10))
  return delayMillis > lateMillis
    ? { status: "warn", details: "The event loop is busy: timers fire late", observed: { delayMillis } }
    : { status: "pass", observed: { delayMillis } }
})

const memory = (process: typeof Process.Service): Effect.Effect<Outcome> =>
  Effect.map(process.sample, ({ heapUsedBytes, memoryBytesMax, residentBytes }) => {
    const share = memoryBytesMax > 0 ? residentBytes / memoryBytesMax : 0
    const observed = { residentBytes, heapUsedBytes, memoryBytesMax }
    if (share <= memoryWarn) return { status: "pass", observed }
    const details = `${Math.round(share * 100)} % of the memory it may use is in use`
    return { status: share > memoryFail ? "fail" : "warn", details, observed }
  })

const fibers = (registry: typeof Supervised.Registry.Service): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const reports = yield* registry.report
    const now = yield* Clock.currentTimeMillis
    const observed: Record<string, number | string> = {
      supervised: reports.length,
      restarts: reports.reduce((sum, { restarts }) => sum + restarts, 0)
    }
    for (const report of reports) observed[report.name] = standingOf(report)
    const down = reports.filter(({ state }) => state === "failed")
    if (down.length > 0) return { status: "fail", details: `Stays down: ${namesOf(down)}`, observed }
    const shaky = reports.filter(
      ({ lastFailure }) =>
        lastFailure !== undefined && now - lastFailure.at.getTime() < Duration.toMillis(restartsRecent)
    )
    return shaky.length > 0
      ? { status: "warn", details: `Restarted in the last 5 minutes: ${namesOf(shaky)}`, observed }
      : { status: "pass", observed }
  })

/** `running (restart), 1 restart, last TypeError at …`: what failed is in the log, it may hold personal data. */
const standingOf = ({ lastFailure, restarts, state, strategy }: Supervised.Report): string => {
  const standing = `${state} (${strategy}), ${restarts} ${restarts === 1 ? "restart" : "restarts"}`
  if (lastFailure === undefined) return standing
  const [kind] = /^\w+/.exec(lastFailure.cause) ?? ["failure"]
  return `${standing}, last ${kind} at ${lastFailure.at.toISOString()}`
}

const namesOf = (reports: ReadonlyArray<Supervised.Report>): string => reports.map(({ name }) => name).join(", ")

const rounded = (value: number): number => Math.round(value * 100) / 100
