/**
 * Rate limits on one real Redis, 64 callers over 10,000 keys, nobody at the limit: our GCRA beside rate-limiter-flexible
 * and, as the physical limit, a bare INCR. Then calls that are known to be refused, over 1,000 keys, in this process.
 * Interleaved; medians over the rounds.
 * `bun run bench rate [ROUNDS]`
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { Redis as Client } from "ioredis"
import { RateLimiterRedis } from "rate-limiter-flexible"
import * as Scheduler from "../src/actor/Scheduler.ts"
import * as Settings from "../src/config/Settings.ts"
import * as RateLimiter from "../src/rate/RateLimiter.ts"
import * as Redis from "../test/kit/Redis.ts"
import { median, report, table } from "./kit.ts"

const rounds = Number(process.argv[2] ?? 5)
const callers = 64
const keysCount = 10_000
const deniedKeysCount = 1_000
/** Calls of one round; the first round, which does not count, warms up as many. */
const callsEach = 60_000
const deniedEach = 1_000_000

const keys = Array.from({ length: keysCount }, (_, n) => `10.0.${n >> 8}.${n & 255}`)

/** Nobody meets this limit, so that all three do the whole work each time. */
const wide: RateLimiter.Rule = {
  name: "wide",
  limit: 1_000_000,
  window: "1 second",
  burst: 1_000_000,
  onStoreLoss: "closed"
}
const narrow: RateLimiter.Rule = { name: "narrow", limit: 1, window: "1 hour", burst: 1, onStoreLoss: "closed" }

/** One round of one limiter; CPU is that of each call, here and in Redis. */
interface Sample {
  readonly "calls/s": number
  readonly "CPU µs": number
  readonly "Redis CPU µs": number
}

const settings = Settings.layerTest((shape) => ({ ...shape, rateLimit: { enabled: true } }))

/** The same loop for all that answer with promises: one call after the other, `callers` at a time. */
const drive = async (call: (key: string) => Promise<unknown>): Promise<void> => {
  let begun = 0
  const caller = async (): Promise<void> => {
    while (begun < callsEach) await call(keys[begun++ % keysCount]!)
  }
  await Promise.all(Array.from({ length: callers }, caller))
}

const program = Effect.gen(function* () {
  const server = yield* Redis.shared
  const limiter = Context.get(
    yield* Layer.build(RateLimiter.layer.pipe(Layer.provide([Redis.layerStore, settings]))),
    RateLimiter.RateLimiter
  )
  const plain = (enableAutoPipelining: boolean) =>
    Effect.acquireRelease(
      Effect.sync(() => new Client({ host: server.host, port: server.port, enableAutoPipelining })),
      (client) => Effect.sync(() => client.disconnect())
    )
  const client = yield* plain(true)
  const theirs = new RateLimiterRedis({
    storeClient: client,
    points: 1_000_000_000,
    duration: 3_600,
    keyPrefix: "theirs"
  })

  const ours = Effect.suspend(() => {
    let begun = 0
    const caller = Effect.gen(function* () {
      while (begun < callsEach) yield* limiter.consume({ rule: wide, key: keys[begun++ % keysCount]! })
    })
    return Effect.all(
      Array.from({ length: callers }, () => caller),
      { concurrency: "unbounded", discard: true }
    )
  })

  const denied = Effect.gen(function* () {
    for (let n = 0; n < deniedEach; n++) {
      const exit = yield* Effect.exit(limiter.consume({ rule: narrow, key: keys[n % deniedKeysCount]! }))
      if (Exit.isSuccess(exit)) return yield* Effect.dieMessage("A refused key was let through")
    }
  })
  for (const key of keys.slice(0, deniedKeysCount)) {
    yield* limiter.consume({ rule: narrow, key })
    yield* Effect.exit(limiter.consume({ rule: narrow, key }))
  }

  const ways = {
    "ours (GCRA)": ours,
    "rate-limiter-flexible": Effect.promise(() => drive((key) => theirs.consume(key))),
    "bare INCR": Effect.promise(() => drive((key) => client.incr(key))),
    "ours, refused": denied
  }
  const serverCpu = Effect.map(server.command("INFO", "cpu"), (info) =>
    ["used_cpu_user", "used_cpu_sys"].reduce(
      (sum, name) => sum + Number(new RegExp(`${name}:([\\d.]+)`).exec(info)![1]),
      0
    )
  )
  const seen = new Map(Object.keys(ways).map((name) => [name, [] as Array<Sample>]))
  for (let round = 0; round <= rounds; round++) {
    for (const [name, way] of Object.entries(ways)) {
      const [began, cpu, redis] = [performance.now(), process.cpuUsage(), yield* serverCpu]
      yield* way
      const done = name === "ours, refused" ? deniedEach : callsEach
      const millis = performance.now() - began
      const { system, user } = process.cpuUsage(cpu)
      // The first round warms up.
      if (round === 0) continue
      seen.get(name)!.push({
        "calls/s": (done * 1_000) / millis,
        "CPU µs": (user + system) / done,
        "Redis CPU µs": (((yield* serverCpu) - redis) * 1_000_000) / done
      })
    }
  }
  const figure = (name: keyof typeof ways, of: keyof Sample): number =>
    median(seen.get(name)!.map((sample) => sample[of]))
  const names = Object.keys(ways) as ReadonlyArray<keyof typeof ways>
  console.log(
    table(
      names.map((limiter) => ({
        limiter,
        "calls/s": figure(limiter, "calls/s"),
        "CPU µs": figure(limiter, "CPU µs"),
        "Redis CPU µs": figure(limiter, "Redis CPU µs")
      }))
    )
  )
  report("rate", {
    rate_vs_rate_limiter_flexible: figure("ours (GCRA)", "calls/s") / figure("rate-limiter-flexible", "calls/s"),
    rate_vs_incr: figure("ours (GCRA)", "calls/s") / figure("bare INCR", "calls/s"),
    // Calls for each second that this process had of a core: the machine may be shared.
    denied_per_second: 1_000_000 / figure("ours, refused", "CPU µs")
  })
})

await Effect.runPromise(Effect.scoped(Effect.provide(program, Scheduler.layer)))
process.exit(0)
