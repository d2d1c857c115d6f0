import { createHash } from "node:crypto"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { Command, type Redis, ReplyError } from "ioredis"
import type { StartupError } from "../../src/config/StartupError.ts"
import { StoreUnavailable } from "../../src/errors.ts"
import { type Script, Store, ttlMillis } from "../../src/store/Store.ts"
import * as Stored from "../../src/store/Stored.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { Breaker } from "./Breaker.ts"
import { Deadlines } from "./Deadlines.ts"
import { ManyKeys } from "./ManyKeys.ts"
import { RedisChannels } from "./RedisChannels.ts"
import * as RedisConnection from "./RedisConnection.ts"
import { RedisTracking } from "./RedisTracking.ts"

/** Replies that say what state the server is in, not that the program asked for nonsense. */
const serverState =
  /^(LOADING|OOM|MISCONF|READONLY|MASTERDOWN|NOAUTH|NOREPLICAS|CLUSTERDOWN|TRYAGAIN|BUSY|ASK|MOVED|UNBLOCKED)\b/

type Call = <A>(operation: string, send: () => Promise<A>) => Effect.Effect<A, StoreUnavailable>

const noLabels: ReadonlyArray<never> = []

const caller = (redis: Redis, callMillis: number): Call => {
  const breaker = new Breaker()
  const deadlines = new Deadlines(callMillis)
  const succeeded = Metrics.series(Metrics.storeCommands, "ok")
  const failed = Metrics.series(Metrics.storeCommands, "failed")
  const unavailable = (operation: string, cause: unknown) => {
    failed.unsafeUpdate(1, noLabels)
    return Effect.fail(new StoreUnavailable({ operation, cause }))
  }
  return (operation, send) =>
    Effect.async((resume) => {
      const started = performance.now()
      if (!breaker.allows(started)) return resume(unavailable(operation, new Error("Redis does not answer")))
      const call = deadlines.add(started, () => {
        if (breaker.timedOut(performance.now())) redis.disconnect(true)
        resume(unavailable(operation, new Error("Redis did not answer in time")))
      })
      send().then(
        (reply) => {
          // Also of a reply that comes too late for its caller: Redis answers again.
          breaker.answered()
          if (!deadlines.settle(call)) return
          succeeded.unsafeUpdate(1, noLabels)
          Metrics.storeSeconds.unsafeUpdate((performance.now() - started) / 1_000, noLabels)
          resume(Effect.succeed(reply))
        },
        (error: Error) => {
          if (error instanceof ReplyError) breaker.answered()
          if (!deadlines.settle(call)) return
          const mistake = error instanceof ReplyError && !serverState.test(error.message)
          resume(mistake ? Effect.die(error) : unavailable(operation, error))
        }
      )
    })
}

/**
 * One command for many callers of a single Redis, at once: it carries what a pipeline would gather, and waiting for the
 * end of the turn would only cost time. `behind` commands that wait for that, so that none is overtaken.
 */
const send = (redis: Redis, command: () => Command, behind: () => Promise<unknown>): Promise<unknown> =>
  redis.autoPipelineQueueSize > 0 ? behind() : (redis.sendCommand(command()) as Promise<unknown>)

/**
 * Values by key, and how many keys were removed. In a cluster one command takes the keys of one server only: there each
 * key has its own, sent together. MGET also of one key, since a value of another kind is absent to it.
 */
const severalKeys = (redis: Redis, cluster: boolean) =>
  cluster
    ? {
        values: async (keys: ReadonlyArray<string>) =>
          (await Promise.all(keys.map((key) => redis.mgetBuffer(key)))).map(([value]) => value ?? null),
        removed: async (keys: ReadonlyArray<string>) =>
          (await Promise.all(keys.map((key) => redis.del(key)))).reduce((sum, count) => sum + count, 0)
      }
    : {
        values: (keys: ReadonlyArray<string>) =>
          send(
            redis,
            () => new ManyKeys("mget", keys),
            () => redis.mgetBuffer(...keys)
          ) as Promise<Array<Buffer | null>>,
        removed: (keys: ReadonlyArray<string>) => redis.del(...keys)
      }

const many = (call: Call, values: (keys: ReadonlyArray<string>) => Promise<ReadonlyArray<Buffer | null>>) => {
  const getStored = (keys: ReadonlyArray<string>) =>
    keys.length === 0 ? Effect.succeed([]) : call("getMany", () => values(keys))
  return {
    getStored,
    getMany: (keys: ReadonlyArray<string>) =>
      Effect.map(getStored(keys), (all) => all.map((stored) => (stored === null ? null : Stored.text(stored))))
  }
}

const strings = (redis: Redis, call: Call, { removed, values }: ReturnType<typeof severalKeys>) => ({
  get: (key: string) =>
    Effect.map(
      call("get", () => redis.get(key)),
      Option.fromNullable
    ),
  ...many(call, values),
  set: (
    key: string,
    value: string,
    options?: { readonly ttl?: Duration.DurationInput; readonly onlyIfAbsent?: boolean }
  ) =>
    call("set", () => {
      const ttl = options?.ttl === undefined ? undefined : ttlMillis(options.ttl)
      if (options?.onlyIfAbsent === true)
        return ttl === undefined ? redis.set(key, value, "NX") : redis.set(key, value, "PX", ttl, "NX")
      return ttl === undefined ? redis.set(key, value) : redis.set(key, value, "PX", ttl)
    }).pipe(Effect.map((reply) => reply === "OK")),
  setMany: (entries: ReadonlyArray<readonly [key: string, value: string]>, ttl: Duration.DurationInput) => {
    const millis = ttlMillis(ttl)
    // Autopipelining sends them together.
    return Effect.asVoid(
      call("setMany", () =>
        Promise.all(
          entries.map(([key, value]) =>
            millis === undefined ? redis.set(key, value) : redis.set(key, value, "PX", millis)
          )
        )
      )
    )
  },
  remove: (...keys: ReadonlyArray<string>) =>
    keys.length === 0 ? Effect.succeed(0) : call("remove", () => removed(keys)),
  expire: (key: string, ttl: Duration.DurationInput) => {
    const millis = ttlMillis(ttl)
    if (millis !== undefined)
      return Effect.map(
        call("expire", () => redis.pexpire(key, millis)),
        (n) => n === 1
      )
    return Effect.map(
      call("expire", () => Promise.all([redis.persist(key), redis.exists(key)])),
      ([, there]) => there === 1
    )
  }
})

const hashesAndLists = (redis: Redis, call: Call) => ({
  hashSet: (key: string, fields: Readonly<Record<string, string>>, ttl?: Duration.DurationInput) => {
    if (Object.keys(fields).length === 0) return Effect.void
    const millis = ttl === undefined ? undefined : ttlMillis(ttl)
    return Effect.asVoid(
      call("hashSet", () =>
        Promise.all([
          redis.hset(key, fields),
          ttl === undefined ? undefined : millis === undefined ? redis.persist(key) : redis.pexpire(key, millis)
        ])
      )
    )
  },
  hashGet: (key: string, field: string) =>
    Effect.map(
      call("hashGet", () => redis.hget(key, field)),
      Option.fromNullable
    ),
  hashGetAll: (key: string) => call("hashGetAll", () => redis.hgetall(key)),
  hashRemove: (key: string, ...fields: ReadonlyArray<string>) =>
    fields.length === 0 ? Effect.succeed(0) : call("hashRemove", () => redis.hdel(key, ...fields)),
  listPush: (key: string, values: ReadonlyArray<string>, keep: number) => {
    if (values.length === 0) return call("listPush", () => redis.llen(key))
    const kept = Math.max(1, keep)
    return Effect.map(
      call("listPush", () => Promise.all([redis.rpush(key, ...values), redis.ltrim(key, -kept, -1)])),
      ([length]) => Math.min(length, kept)
    )
  },
  listRange: (key: string, start: number, stop: number) => call("listRange", () => redis.lrange(key, start, stop))
})

const sets = (redis: Redis, call: Call) => ({
  setAdd: (key: string, ...members: ReadonlyArray<string>) =>
    members.length === 0 ? Effect.succeed(0) : call("setAdd", () => redis.sadd(key, ...members)),
  setRemove: (key: string, ...members: ReadonlyArray<string>) =>
    members.length === 0 ? Effect.succeed(0) : call("setRemove", () => redis.srem(key, ...members)),
  setMembers: (key: string) => call("setMembers", () => redis.smembers(key)),
  sortedAdd: (key: string, entries: ReadonlyArray<readonly [member: string, score: number]>) =>
    entries.length === 0
      ? Effect.succeed(0)
      : Effect.map(
          call("sortedAdd", () => redis.zadd(key, ...entries.flatMap(([member, score]) => [score, member]))),
          Number
        ),
  sortedRemove: (key: string, ...members: ReadonlyArray<string>) =>
    members.length === 0 ? Effect.succeed(0) : call("sortedRemove", () => redis.zrem(key, ...members)),
  sortedRange: (key: string, min: number, max: number) =>
    Effect.map(
      call("sortedRange", () => redis.zrangebyscore(key, bound(min), bound(max), "WITHSCORES")),
      (flat) => flat.flatMap((member, index) => (index % 2 === 0 ? [[member, score(flat[index + 1]!)] as const] : []))
    )
})

/** Redis writes "inf" and "-inf". */
const score = (text: string): number => Number(text.replace("inf", "Infinity"))

const bound = (score: number): number | string => (score === Infinity ? "+inf" : score === -Infinity ? "-inf" : score)

const runner = (redis: Redis, call: Call, cluster: boolean) => {
  const shas = new WeakMap<object, string>()
  const evaluate = (
    name: "evalsha" | "eval",
    code: string,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<Stored.Stored>
  ) => {
    const whole = () => redis[name](code, keys.length, ...keys, ...args) as Promise<unknown>
    if (cluster) return whole()
    const all = [code, String(keys.length), ...keys, ...args]
    return send(redis, () => new Command(name, all, { replyEncoding: "utf8" }), whole)
  }
  return <Result>(script: Script<Result>, keys: ReadonlyArray<string>, args: ReadonlyArray<Stored.Stored>) => {
    const sha = shas.get(script) ?? createHash("sha1").update(script.lua).digest("hex")
    shas.set(script, sha)
    const run = () =>
      evaluate("evalsha", sha, keys, args).catch((error: Error) => {
        if (!error.message.startsWith("NOSCRIPT")) throw error
        return evaluate("eval", script.lua, keys, args)
      })
    return Effect.map(call(script.name, run), script.decode)
  }
}

/**
 * What Redis does when it is full, if it may be: nothing here is the only copy, so it should drop old keys; otherwise it
 * refuses writes. Without `maxmemory` there is no such moment, and nothing to say.
 */
const checkPolicy = (redis: Redis, call: Call) =>
  call("info", () => redis.info("memory")).pipe(
    Effect.flatMap((info) => {
      const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? "unknown"
      const bounded = (/^maxmemory:(\d+)/m.exec(info)?.[1] ?? "0") !== "0"
      return !bounded || policy === "allkeys-lru" || policy === "allkeys-lfu"
        ? Effect.void
        : Effect.logWarning(
            `Redis has maxmemory-policy ${policy}: with allkeys-lru it would drop old keys when it is full, instead of refusing writes`
          )
    }),
    Effect.ignore
  )

/** A caller waits this long for Redis. */
export const callMillisMax = 50

/**
 * A store on Redis. Fails when Redis cannot be reached now; later losses fail single calls and are mended by itself.
 * Tests that are not about time give calls longer, since a busy machine may not let Redis run for a while.
 */
export const make = (
  address: RedisConnection.Address,
  callMillis: number = callMillisMax
): Effect.Effect<typeof Store.Service, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    const tracking = yield* Effect.acquireRelease(
      Effect.sync(() => new RedisTracking((data) => RedisConnection.newsOf(address, data))),
      (open) => Effect.sync(() => open.close())
    )
    const subscriber = yield* RedisConnection.connect(address)
    const { publisher, redis } = yield* address.cluster
      ? joinCluster(address, tracking, subscriber)
      : single(address, tracking)
    const call = caller(redis, callMillis)
    const channels = yield* Effect.acquireRelease(
      Effect.sync(() => new RedisChannels(subscriber)),
      (open) => Effect.sync(() => open.close())
    )
    yield* checkPolicy(redis, call)
    return Store.of({
      backend: "redis",
      ...strings(redis, call, severalKeys(redis, address.cluster)),
      ...hashesAndLists(redis, call),
      ...sets(redis, call),
      run: runner(redis, call, address.cluster),
      publish: (channel, payload) => call("publish", () => publisher().publish(channel, payload)),
      subscribe: (channel, heard) => channels.subscribe(channel, heard),
      follow: (prefix, onChange) => tracking.follow(prefix, onChange),
      ping: Effect.map(Effect.timed(call("ping", () => redis.ping())), ([duration]) => duration)
    })
  })

const single = (address: RedisConnection.Address, tracking: RedisTracking) =>
  Effect.map(RedisConnection.connect(address, { enableAutoPipelining: true }), (redis) => {
    tracking.add(redis)
    return { redis, publisher: () => redis }
  })

/** Every master tells of its own keys; messages reach all of them, so when the one we hear them from goes any other will do. */
const joinCluster = (address: RedisConnection.Address, tracking: RedisTracking, subscriber: Redis) =>
  Effect.map(RedisConnection.connectCluster(address), (cluster) => {
    const masters = () => {
      const now = cluster.nodes("master")
      tracking.retain(now)
      for (const node of now) tracking.add(node)
    }
    cluster.on("refresh", masters)
    cluster.on("+node", masters)
    cluster.on("-node", masters)
    masters()
    subscriber.on("close", () => {
      const alive = cluster.nodes("master").find((node) => node.status === "ready")
      if (alive !== undefined) Object.assign(subscriber.options, { host: alive.options.host, port: alive.options.port })
    })
    // A cluster has the commands of a single Redis, and the same events and `disconnect`.
    const redis = cluster as unknown as Redis
    // Always through one server, or messages could overtake each other on the way to the one we listen to.
    const publisher = () => cluster.nodes("master").find((node) => node.status === "ready") ?? redis
    return { redis, publisher }
  })

export const layer = (address: RedisConnection.Address): Layer.Layer<Store, StartupError> =>
  Layer.scoped(Store, make(address))
