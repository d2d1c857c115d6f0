import { expect } from "bun:test"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Queue from "effect/Queue"
import * as RedisStore from "../../layers/store/RedisStore.ts"
import { percentile } from "../../bench/kit.ts"
import { StoreUnavailable } from "../../src/errors.ts"
import type { Change, Store } from "../../src/store/Store.ts"
import { it } from "../kit/effect.ts"
import * as Redis from "../kit/Redis.ts"
import { hearing } from "./hearing.ts"
import { waited, waitMillisMax } from "./waits.ts"

/**
 * How long nine of ten calls that must fail took, in milliseconds. Every failure must be StoreUnavailable, and none may take
 * longer than a request may wait.
 */
const failureMillis = (store: typeof Store.Service, count: number) =>
  Effect.gen(function* () {
    const waits: Array<number> = []
    for (let n = 0; n < count; n++) {
      const { outcome, waitMillis } = yield* waited(store.get("key"))
      expect(Either.isLeft(outcome) && outcome.left).toBeInstanceOf(StoreUnavailable)
      waits.push(waitMillis)
    }
    expect(Math.max(...waits)).toBeLessThan(waitMillisMax)
    return percentile(waits, 0.9)
  })

/** Milliseconds until a call succeeds again. */
const recovery = (store: typeof Store.Service) =>
  store.get("key").pipe(
    Effect.retry(Schedule.spaced("5 millis")),
    Effect.timed,
    Effect.map(([took]) => Duration.toMillis(took))
  )

it.live("a killed Redis fails calls at once, and is back within a second of its return", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start()
    const store = yield* RedisStore.make(Redis.address(redis))
    yield* store.set("key", "1")
    yield* redis.kill
    yield* Effect.retry(Effect.flip(store.get("key")), Schedule.spaced("1 millis"))
    expect(yield* failureMillis(store, 50)).toBeLessThan(RedisStore.callMillisMax)
    yield* redis.restart
    expect(yield* recovery(store)).toBeLessThan(1_000)
  })
)

it.live("a stopped Redis fails calls within their timeout, then without waiting, and is back within a second", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start()
    const store = yield* RedisStore.make(Redis.address(redis))
    yield* store.set("key", "1")
    yield* redis.pause
    // The first three wait for the limit, then most are answered by the breaker.
    expect(yield* failureMillis(store, 3)).toBeGreaterThanOrEqual(RedisStore.callMillisMax - 1)
    expect(yield* failureMillis(store, 100)).toBeLessThan(RedisStore.callMillisMax / 2)
    yield* redis.resume
    expect(yield* recovery(store)).toBeLessThan(1_000)
    expect(yield* store.get("key")).toEqual(Option.some("1"))
  })
)

it.live("a pause of this process does not fail calls that Redis has answered meanwhile", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.shared
    const store = yield* RedisStore.make(Redis.address(redis))
    const reading = yield* Effect.fork(store.get("key"))
    // The command leaves the process; then nothing is read for longer than a caller waits.
    yield* Effect.promise(() => new Promise((resolve) => setImmediate(() => setImmediate(resolve))))
    const until = performance.now() + 120
    while (performance.now() < until);
    yield* Fiber.join(reading)
  })
)

it.live("a subscriber sees a Gap after the connection was lost, and messages after that", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start()
    const store = yield* RedisStore.make(Redis.address(redis))
    const heard = yield* hearing(store, "news")
    yield* store.publish("news", "before")
    expect(yield* Queue.take(heard)).toEqual({ _tag: "Message", payload: "before" })
    yield* redis.kill
    yield* redis.restart
    expect(yield* Queue.take(heard)).toEqual({ _tag: "Gap" })
    yield* recovery(store)
    yield* store.publish("news", "after")
    expect(yield* Queue.take(heard)).toEqual({ _tag: "Message", payload: "after" })
  })
)

it.live("a follower hears that changes go unseen within little more than a second of silence", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start()
    const store = yield* RedisStore.make(Redis.address(redis))
    const heard = yield* Queue.unbounded<Change["_tag"]>()
    yield* store.follow("key:", ({ _tag }) => void heard.unsafeOffer(_tag))
    expect(yield* Queue.take(heard)).toBe("Following")
    yield* redis.pause
    const [took, change] = yield* Effect.timed(Queue.take(heard))
    expect(change).toBe("Lost")
    expect(Duration.toMillis(took)).toBeLessThan(2_000)
    yield* redis.resume
    expect(yield* Queue.take(heard)).toBe("Following")
  })
)

it.live("a subscription begun while Redis is stopped stands with a Gap once Redis answers", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start()
    const store = yield* RedisStore.make(Redis.address(redis))
    yield* redis.pause
    const heard = yield* hearing(store, "news")
    yield* redis.resume
    expect(yield* Queue.take(heard)).toEqual({ _tag: "Gap" })
  })
)

it.live("a full Redis that may not evict refuses writes as unavailable and still answers reads", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start("--maxmemory", "2mb", "--maxmemory-policy", "noeviction")
    const store = yield* RedisStore.make(Redis.address(redis))
    yield* store.set("key", "1")
    let refused: unknown
    for (let n = 0; n < 100 && refused === undefined; n++) {
      const outcome = yield* Effect.either(store.set(`filler:${n}`, "x".repeat(100_000)))
      if (Either.isLeft(outcome)) refused = outcome.left
    }
    expect(refused).toBeInstanceOf(StoreUnavailable)
    expect(yield* store.get("key")).toEqual(Option.some("1"))
  }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
)

it.live("a Redis that would refuse writes when it is full is warned of at the start, with what to set", () =>
  Effect.gen(function* () {
    const said: Array<string> = []
    const listening = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ logLevel, message }) => void said.push(`${logLevel.label} ${String(message)}`))
    )
    for (const policy of ["noeviction", "allkeys-lru"]) {
      const redis = yield* Redis.start("--maxmemory-policy", policy)
      yield* Effect.scoped(RedisStore.make(Redis.address(redis))).pipe(Effect.provide(listening))
    }
    expect(said.filter((line) => line.includes("maxmemory-policy"))).toEqual([
      expect.stringMatching(/^WARN .*noeviction.*allkeys-lru/)
    ])
  })
)

it.live("starting without Redis says where it was looked for and what to set", () =>
  Effect.gen(function* () {
    const address = { ...Redis.address(yield* Redis.shared), port: 1 }
    const error = yield* Effect.flip(Effect.scoped(RedisStore.make(address)))
    expect(error.message).toContain("127.0.0.1:1")
    expect(error.message).toContain("REDIS_HOST")
  })
)

it.live("starting with a wrong password says which variable to set", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start("--requirepass", "secret")
    const address = Redis.address(redis)
    expect((yield* Effect.flip(Effect.scoped(RedisStore.make(address)))).message).toContain("REDIS_PASSWORD")
    const wrong = { ...address, password: Option.some(Redacted.make("guess")) }
    expect((yield* Effect.flip(Effect.scoped(RedisStore.make(wrong)))).message).toContain("REDIS_PASSWORD")
    const store = yield* RedisStore.make({ ...address, password: Option.some(Redacted.make("secret")) })
    yield* store.ping
  })
)

it.live("when the server of a cluster that messages come from is killed, they come from another", () =>
  Effect.gen(function* () {
    const { address, nodes } = yield* Redis.startCluster
    const store = yield* RedisStore.make(address, 2_000)
    const heard = yield* hearing(store, "news")
    const message = Effect.repeat(Queue.take(heard), { until: ({ _tag }) => _tag === "Message" })
    const arrived = yield* Effect.fork(message)
    Redis.stop(nodes[0]!)
    yield* Effect.ignore(store.publish("news", "again")).pipe(
      Effect.delay("20 millis"),
      Effect.forever,
      Effect.race(Fiber.join(arrived)),
      Effect.timeout("10 seconds")
    )
  })
)
