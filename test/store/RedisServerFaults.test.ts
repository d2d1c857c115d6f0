import { expect } from "bun:test"
import { spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
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
import { StoreUnavailable } from "../../src/errors.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { it } from "../kit/effect.ts"
import * as Proxy from "../kit/Proxy.ts"
import * as Redis from "../kit/Redis.ts"
import { waited, waitMillisMax } from "./waits.ts"

const failed = () =>
  (Metrics.series(Metrics.storeCommands, "failed").unsafeValue([]) as { readonly count: number }).count

/** Runs calls until one succeeds; how long each took, and the typed failures among them. */
const until = <A>(call: Effect.Effect<A, StoreUnavailable>) =>
  Effect.gen(function* () {
    const waits: Array<number> = []
    const failures: Array<StoreUnavailable> = []
    for (;;) {
      const { outcome, waitMillis } = yield* waited(call)
      waits.push(waitMillis)
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
    expect(Math.max(...waits)).toBeLessThan(waitMillisMax)
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
    const { outcome, waitMillis } = yield* waited(store.get("key"))
    expect(Either.isLeft(outcome) && outcome.left).toBeInstanceOf(StoreUnavailable)
    expect(waitMillis).toBeLessThan(waitMillisMax)
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
      const { outcome, waitMillis } = yield* waited(store.get("key"))
      expect(Either.isLeft(outcome) && outcome.left).toBeInstanceOf(StoreUnavailable)
      waits.push(waitMillis)
    }
    expect(Math.max(...waits)).toBeLessThan(waitMillisMax)
    proxy.restore()
    const [recovery] = yield* Effect.timed(until(store.get("key")))
    expect(Duration.toMillis(recovery)).toBeLessThan(1_000)
  })
)

/** Room of the small disk, enough for what Redis holds. */
const diskBytes = 2 * 1_048_576

/**
 * A folder whose disk can be filled up. Where the system does not let us mount one, the folder is taken away instead, which
 * is as bad for whoever wants to save into it.
 */
const smallDisk = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "connect-full-"))
      const mount = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${diskBytes}`, "connect-full", folder])
      return { folder, mounted: mount.status === 0 }
    }),
    ({ folder, mounted }) =>
      Effect.sync(() => {
        if (mounted) spawnSync("umount", ["-l", folder])
        rmSync(folder, { recursive: true, force: true })
      })
  ),
  ({ folder, mounted }) => ({
    folder,
    fill: () => {
      if (!mounted) return rmSync(folder, { recursive: true })
      expect(() => writeFileSync(join(folder, "filler"), Buffer.alloc(2 * diskBytes))).toThrow("ENOSPC")
    },
    empty: () => {
      if (mounted) rmSync(join(folder, "filler"))
      else mkdirSync(folder)
    }
  })
)

it.live("a Redis whose disk is full refuses writes, answers reads, and takes writes when there is room again", () =>
  Effect.gen(function* () {
    const disk = yield* smallDisk
    const redis = yield* Redis.start("--save", "3600 1", "--enable-protected-configs", "yes")
    const store = yield* RedisStore.make(Redis.address(redis))
    yield* steady(store.set("key", "1"))
    yield* redis.command("CONFIG", "SET", "dir", disk.folder)
    const status = (wanted: "ok" | "err") =>
      Effect.repeat(redis.command("INFO", "persistence"), {
        until: (info) => info.includes(`rdb_last_bgsave_status:${wanted}`) && info.includes("rdb_bgsave_in_progress:0"),
        schedule: Schedule.spaced("10 millis")
      })
    disk.fill()
    yield* redis.command("BGSAVE")
    yield* status("err")
    const before = failed()
    for (let n = 1; n <= 50; n++) {
      const writing = yield* waited(store.set("key", "2"))
      expect(Either.isLeft(writing.outcome) && writing.outcome.left).toBeInstanceOf(StoreUnavailable)
      expect(Either.isLeft(writing.outcome) && String(writing.outcome.left.cause)).toMatch(/MISCONF|in time/)
      expect(failed()).toBeGreaterThanOrEqual(before + n)
      const reading = yield* waited(steady(store.get("key")))
      expect(reading.outcome).toEqual(Either.right(Option.some("1")))
      expect(Math.max(writing.waitMillis, reading.waitMillis)).toBeLessThan(waitMillisMax)
    }
    const refused = yield* Effect.repeat(Effect.flip(store.set("key", "2")), {
      until: ({ cause }) => String(cause).includes("MISCONF")
    })
    expect(refused.operation).toBe("set")
    disk.empty()
    yield* redis.command("CONFIG", "SET", "dir", disk.folder)
    yield* redis.command("BGSAVE")
    yield* status("ok")
    expect(yield* steady(store.set("key", "3"))).toBe(true)
  }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
)
