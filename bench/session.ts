/**
 * Loads of sessions on one real Redis, 64 callers over 2,000 sessions: ours through the Store, without and with what is
 * near, beside connect-redis doing what express-session asks of it for a request (`get`, then `touch`). Both find a live
 * session and keep it alive. Interleaved; medians over the rounds. Then the limit per user under many schedules.
 * `bun run bench session [ROUNDS] [SCHEDULES]`
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { RedisStore } from "connect-redis"
import { createClient } from "redis"
import * as Scheduler from "../src/actor/Scheduler.ts"
import { Store } from "../src/store/Store.ts"
import { Endings } from "../src/session/Endings.ts"
import * as Loading from "../src/session/Loading.ts"
import * as Postgres from "../test/kit/Postgres.ts"
import * as Redis from "../test/kit/Redis.ts"
import { median, report, table } from "./kit.ts"
import * as Schedules from "./session/schedules.ts"

const rounds = Number(process.argv[2] ?? 5)
const schedules = Number(process.argv[3] ?? 10_000)
const callers = 64
const sessionsCount = 2_000
/** Loads of one round. */
const loadsEach = 60_000
/** Rounds that do not count: a server lives long, and the engine compiles for half a million loads of each way. */
const roundsBefore = 8
const nearLoadsEach = 1_000_000

const ours = "ours, through the Store"
const oursNear = "ours, near"
const getAndTouch = "connect-redis, get and touch"

/** One round of one way; CPU is that of each load, here and in Redis. */
interface Sample {
  readonly "loads/s": number
  readonly "CPU µs": number
  readonly "Redis CPU µs": number
}

const begin = Effect.gen(function* () {
  const sessions = yield* Schedules.node
  const userIds = yield* Schedules.users(sessionsCount)
  const made = yield* Effect.forEach(
    userIds,
    (userId) => sessions.create(userId, { userAgent: Option.some("Mozilla/5.0 (X11; Linux x86_64; rv:145.0)") }),
    { concurrency: 10 }
  )
  return { sessions, tokens: made.map(({ token }) => token) }
})

/** The same way to a session as in `Sessions`, with room for nothing near. */
const far = Effect.gen(function* () {
  const loading = yield* Loading.make(yield* SqlClient.SqlClient, new Endings(60_000, () => undefined), 0)
  return loading.load
}).pipe(Effect.provideServiceEffect(Store, Effect.flatMap(Redis.shared, Redis.patientStore)))

const drive = async (loads: number, load: (n: number) => Promise<unknown>): Promise<void> => {
  let begun = 0
  const caller = async (): Promise<void> => {
    while (begun < loads) await load(begun++)
  }
  await Promise.all(Array.from({ length: callers }, caller))
}

const driveFibers = <E>(loads: number, load: (n: number) => Effect.Effect<unknown, E>) =>
  Effect.suspend(() => {
    let begun = 0
    const caller = Effect.gen(function* () {
      while (begun < loads) yield* load(begun++)
    })
    return Effect.all(
      Array.from({ length: callers }, () => caller),
      { concurrency: "unbounded", discard: true }
    )
  })

/** connect-redis as express-session uses it, on the client that it is made for. */
const theirs = Effect.gen(function* () {
  const server = yield* Redis.shared
  const client = createClient({ socket: { host: server.host, port: server.port } })
  yield* Effect.acquireRelease(
    Effect.promise(() => client.connect()),
    () => Effect.sync(() => client.destroy())
  )
  const store = new RedisStore({ client, prefix: "theirs:" })
  const data = {
    cookie: { originalMaxAge: 604_800_000, expires: new Date(Date.now() + 604_800_000), httpOnly: true, path: "/" },
    userId: "0193f1c2-7a51-7c07-9c9e-3a1b2c3d4e5f",
    role: "USER",
    createdAt: Date.now(),
    userAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0)"
  }
  const ids = Array.from({ length: sessionsCount }, (_, n) =>
    Buffer.from(`session-${n}`.padEnd(24)).toString("base64url")
  )
  yield* Effect.promise(() => Promise.all(ids.map((id) => store.set(id, data))))
  const get = (n: number) => store.get(ids[n % sessionsCount]!)
  const getAndTouch = async (n: number): Promise<void> => {
    const found = (await get(n)) as typeof data | null
    if (found === null) throw new Error("connect-redis lost a session")
    await store.touch(ids[n % sessionsCount]!, found)
  }
  return { get, getAndTouch }
})

const program = Effect.gen(function* () {
  const server = yield* Redis.shared
  const { sessions, tokens } = yield* begin
  const throughStore = yield* far
  const other = yield* theirs
  const token = (n: number): string => tokens[n % sessionsCount]!
  /** The Store keeps a session for a minute: each is there when a round begins. */
  const fill = Effect.forEach(tokens, throughStore, { concurrency: callers, discard: true })
  const ways: Readonly<Record<string, readonly [loads: number, way: Effect.Effect<unknown, unknown>]>> = {
    [ours]: [loadsEach, driveFibers(loadsEach, (n) => throughStore(token(n)))],
    [getAndTouch]: [loadsEach, Effect.promise(() => drive(loadsEach, other.getAndTouch))],
    "connect-redis, get alone": [loadsEach, Effect.promise(() => drive(loadsEach, other.get))],
    [oursNear]: [nearLoadsEach, driveFibers(nearLoadsEach, (n) => sessions.load(token(n)))]
  }
  const serverCpu = Effect.map(server.command("INFO", "cpu"), (info) =>
    ["used_cpu_user", "used_cpu_sys"].reduce(
      (sum, name) => sum + Number(new RegExp(`${name}:([\\d.]+)`).exec(info)![1]),
      0
    )
  )
  const seen = new Map(Object.keys(ways).map((name) => [name, [] as Array<Sample>]))
  for (let round = -roundsBefore; round < rounds; round++) {
    for (const [name, [loads, way]] of Object.entries(ways)) {
      yield* fill
      const [began, cpu, redis] = [performance.now(), process.cpuUsage(), yield* serverCpu]
      yield* way
      const millis = performance.now() - began
      const { system, user } = process.cpuUsage(cpu)
      if (round < 0) continue
      seen.get(name)!.push({
        "loads/s": (loads * 1_000) / millis,
        "CPU µs": (user + system) / loads,
        "Redis CPU µs": (((yield* serverCpu) - redis) * 1_000_000) / loads
      })
    }
  }
  const figure = (name: string, of: keyof Sample): number => median(seen.get(name)!.map((sample) => sample[of]))
  console.log(
    table(
      Object.keys(ways).map((way) => ({
        way,
        "loads/s": figure(way, "loads/s"),
        "CPU µs": figure(way, "CPU µs"),
        "Redis CPU µs": figure(way, "Redis CPU µs")
      }))
    )
  )
  const overshoot = yield* Schedules.run(schedules)
  report("session", {
    session_load_vs_connect_redis: figure(ours, "loads/s") / figure(getAndTouch, "loads/s"),
    session_near_load_vs_connect_redis: figure(oursNear, "loads/s") / figure(getAndTouch, "loads/s"),
    session_limit_overshoot: overshoot
  })
})

const layers = Layer.provideMerge(Layer.mergeAll(Postgres.layerDatabase, Schedules.settings), Scheduler.layer)
await Effect.runPromise(Effect.scoped(Effect.provide(program, layers)))
process.exit(0)
