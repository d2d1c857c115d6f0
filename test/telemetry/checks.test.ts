import { expect } from "bun:test"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Supervised from "../../src/actor/Supervised.ts"
import { Database, type Stats } from "../../src/database/Database.ts"
import { DatabaseUnavailable, StoreUnavailable } from "../../src/errors.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import * as checks from "../../src/telemetry/checks.ts"
import * as Health from "../../src/telemetry/Health.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { Process, type Sample } from "../../src/telemetry/Process.ts"
import { it } from "../kit/effect.ts"

const stats: Stats = {
  backend: "postgres",
  pool: { max: 20, open: 5, inUse: 1, waiting: 0 },
  queries: 10,
  failures: 0,
  slow: 0,
  meanMillis: 1.239
}

const sample: Sample = {
  cpuSeconds: 1,
  residentBytes: 100,
  heapUsedBytes: 50,
  memoryBytesMax: 1_000,
  uptimeSeconds: 1
}

/** What the checks look at, each part as the test wants it. */
interface World {
  readonly stats?: Stats
  readonly ping?: Effect.Effect<Duration.Duration, DatabaseUnavailable>
  readonly storePing?: Effect.Effect<Duration.Duration, StoreUnavailable>
  readonly sample?: Sample
}

const world = (parts: World = {}) => {
  const database = Layer.succeed(Database, {
    stats: Effect.succeed(parts.stats ?? stats),
    slowQueries: Effect.succeed([]),
    ping: parts.ping ?? Effect.succeed(Duration.millis(2)),
    onWritten: () => Effect.void,
    listen: () => Stream.empty
  })
  const store = Layer.effect(
    Store,
    Effect.map(Store, (memory) => ({ ...memory, ...(parts.storePing && { ping: parts.storePing }) }))
  ).pipe(Layer.provide(StoreMemory.layer))
  const process = Layer.succeed(Process, {
    runtime: "bun",
    sample: Effect.succeed(parts.sample ?? sample),
    collect: Effect.void
  })
  return checks.layer.pipe(
    Layer.provideMerge(Health.layer),
    Layer.provideMerge(Layer.mergeAll(database, store, process, Supervised.Registry.layer)),
    Layer.provide(Logger.remove(Logger.defaultLogger))
  )
}

/** Builds the checks in that world, lets them run for a while and gives the report. */
const reportIn = (parts: World, before: Effect.Effect<void, never, Scope.Scope> = Effect.void) =>
  Effect.gen(function* () {
    const context = yield* Effect.fork(Layer.build(world(parts)))
    yield* TestClock.adjust("1 second")
    const services = yield* context
    return yield* Effect.gen(function* () {
      yield* before
      yield* TestClock.adjust("6 seconds")
      const health = yield* Health.Health
      return { ...(yield* health.report), ready: yield* health.ready }
    }).pipe(Effect.provide(services))
  })

it("a well program passes every check", () =>
  Effect.gen(function* () {
    const { checks, ready, status } = yield* reportIn({})
    expect(Object.entries(checks).map(([name, check]) => [name, check.status])).toEqual([
      ["database", "pass"],
      ["cache", "pass"],
      ["event_loop", "pass"],
      ["memory", "pass"],
      ["fibers", "pass"]
    ])
    expect([status, ready]).toEqual(["pass", true])
    expect(checks["database"]?.observed).toMatchObject({ backend: "postgres", roundTripMillis: 2, meanMillis: 1.24 })
    expect((yield* Metric.value(Metrics.poolMax)).value).toBe(20)
  }))

it("without the database the program is not ready", () =>
  Effect.gen(function* () {
    const ping = Effect.fail(new DatabaseUnavailable({ cause: "refused: password=hunter2" }))
    const { checks, ready, status } = yield* reportIn({ ping })
    expect([status, ready, checks["database"]?.status]).toEqual(["fail", false, "fail"])
    expect(JSON.stringify(checks)).not.toContain("hunter2")
  }))

it("without the store the program is degraded and stays ready", () =>
  Effect.gen(function* () {
    const storePing = Effect.fail(new StoreUnavailable({ operation: "ping", cause: "refused" }))
    const { checks, ready, status } = yield* reportIn({ storePing })
    expect([status, ready, checks["cache"]?.status]).toEqual(["warn", true, "fail"])
  }))

it("a pool where statements wait is a warning", () =>
  Effect.gen(function* () {
    const { checks } = yield* reportIn({ stats: { ...stats, pool: { max: 20, open: 20, inUse: 20, waiting: 3 } } })
    expect(checks["database"]).toMatchObject({ status: "warn", observed: { poolWaiting: 3 } })
  }))

it("memory warns above 80 % of what may be used and fails above 95 %", () =>
  Effect.gen(function* () {
    expect((yield* reportIn({ sample: { ...sample, residentBytes: 810 } })).checks["memory"]?.status).toBe("warn")
    expect((yield* reportIn({ sample: { ...sample, residentBytes: 960 } })).checks["memory"]).toMatchObject({
      status: "fail",
      details: "96 % of the memory it may use is in use"
    })
  }))

it("a supervised fiber that stays down makes the program unready, and is named", () =>
  Effect.gen(function* () {
    const restart = { intensity: 0, window: "1 minute", backoff: { initial: "1 millis", max: "1 millis" } } as const
    const broken = Supervised.fork({ name: "queue processing", effect: Effect.die("bug"), restart })
    const { checks, ready } = yield* reportIn({}, broken)
    expect(ready).toBe(false)
    expect(checks["fibers"]).toMatchObject({ status: "fail", details: "Stays down: queue processing" })
  }))
