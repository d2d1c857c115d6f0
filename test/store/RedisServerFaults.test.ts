import { expect } from "bun:test"
import { randomBytes } from "node:crypto"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as RedisStore from "../../layers/store/RedisStore.ts"
import { percentile } from "../../bench/kit.ts"
import { StoreUnavailable } from "../../src/errors.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { it } from "../kit/effect.ts"
import * as Proxy from "../kit/Proxy.ts"
import * as Redis from "../kit/Redis.ts"

/** A request may wait this long on Redis, whatever is wrong with it. */
const waitMillisMax = 250

const failed = () =>
  (Metrics.series(Metrics.storeCommands, "failed").unsafeValue([]) as { readonly count: number }).count

/** Runs calls until one succeeds; how long each took, and the typed failures among them. */
const until = <A>(call: Effect.Effect<A, StoreUnavailable>) =>
  Effect.gen(function* () {
    const waits: Array<number> = []
    const failures: Array<StoreUnavailable> = []
    for (;;) {
      const [took, outcome] = yield* Effect.timed(Effect.either(call))
      waits.push(Duration.toMillis(took))
      if (Either.isRight(outcome)) return { waits, failures }
      failures.push(outcome.left)
      yield* Effect.sleep("5 millis")
    }
  }).pipe(Effect.timeout("20 seconds"))

/** For what a test prepares: a busy machine may not let Redis run in time. */
const steady = <A>(call: Effect.Effect<A, StoreUnavailable>) => Effect.retry(call, Schedule.spaced("20 millis"))

it.live("a Redis that loads its data is unavailable, and answers as soon as it has", () =>
  Effect.gen(function* () {
    const slow = ["--key-load-delay", "1500", "--loading-process-events-interval-bytes", "1024"]
    const redis = yield* Redis.start(...slow)
    const values = Array.from({ length: 400 }, (_, n) => [`key:${n}`, randomBytes(100).toString("hex")] as const)
    yield* Effect.flatMap(Redis.patientStore(redis), (patient) => patient.setMany(values, "1 hour"))
    const store = yield* RedisStore.make(Redis.address(redis))
    yield* redis.command("SAVE")
    const before = failed()
    yield* redis.kill
    const back = yield* Effect.fork(redis.restart)
    yield* Effect.retry(Effect.flip(store.get("key:1")), Schedule.spaced("1 millis"))
    const { failures, waits } = yield* until(store.get("key:1"))
    yield* Fiber.join(back)
    expect(failures.some(({ cause }) => String(cause).includes("LOADING"))).toBe(true)
    expect(percentile(waits, 0.9)).toBeLessThan(waitMillisMax)
    expect(failed()).toBeGreaterThanOrEqual(before + failures.length)
    expect(Option.isSome(yield* steady(store.get("key:399")))).toBe(true)
  })
)

it.live("an answer that is cut off fails its call, and the next one has a new connection", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start()
    const proxy = yield* Proxy.start(redis.port)
    const store = yield* RedisStore.make({ ...Redis.address(redis), port: proxy.port })
    yield* steady(store.set("key", "x".repeat(100_000)))
    proxy.cutAfter(1_000)
    const [took, outcome] = yield* Effect.timed(Effect.flip(store.get("key")))
    expect(outcome).toBeInstanceOf(StoreUnavailable)
    expect(Duration.toMillis(took)).toBeLessThan(waitMillisMax)
    const [recovery] = yield* Effect.timed(until(store.get("key")))
    expect(Duration.toMillis(recovery)).toBeLessThan(1_000)
    expect(yield* steady(store.get("key"))).toEqual(Option.some("x".repeat(100_000)))
  })
)

it.live("a connection on which nothing comes through fails calls in time, and is made again", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start()
    const proxy = yield* Proxy.start(redis.port)
    const store = yield* RedisStore.make({ ...Redis.address(redis), port: proxy.port })
    yield* steady(store.set("key", "1"))
    proxy.stall()
    const waits: Array<number> = []
    for (let n = 0; n < 20; n++) {
      const [took, outcome] = yield* Effect.timed(Effect.flip(store.get("key")))
      expect(outcome).toBeInstanceOf(StoreUnavailable)
      waits.push(Duration.toMillis(took))
    }
    expect(percentile(waits, 0.9)).toBeLessThan(waitMillisMax)
    proxy.restore()
    const [recovery] = yield* Effect.timed(until(store.get("key")))
    expect(Duration.toMillis(recovery)).toBeLessThan(1_000)
  })
)

it.live(
  "a Redis that cannot save refuses writes as unavailable, still answers reads, and takes writes when it can",
  () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "connect-full-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
      const gone = join(folder, "gone")
      mkdirSync(gone)
      const redis = yield* Redis.start("--save", "3600 1", "--enable-protected-configs", "yes")
      const store = yield* RedisStore.make(Redis.address(redis))
      yield* store.set("key", "1")
      yield* redis.command("CONFIG", "SET", "dir", gone)
      rmSync(gone, { recursive: true })
      const status = (wanted: "ok" | "err") =>
        Effect.repeat(redis.command("INFO", "persistence"), {
          until: (info) =>
            info.includes(`rdb_last_bgsave_status:${wanted}`) && info.includes("rdb_bgsave_in_progress:0"),
          schedule: Schedule.spaced("10 millis")
        })
      yield* redis.command("BGSAVE")
      yield* status("err")
      const refused = yield* Effect.flip(store.set("key", "2"))
      expect(refused).toBeInstanceOf(StoreUnavailable)
      expect(String(refused.cause)).toContain("MISCONF")
      expect(yield* store.get("key")).toEqual(Option.some("1"))
      yield* redis.command("CONFIG", "SET", "dir", folder)
      yield* redis.command("BGSAVE")
      yield* status("ok")
      expect(yield* store.set("key", "3")).toBe(true)
    }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
)
