/**
 * The cache beside those people use, on one Redis: hits near, hits in the store by 64 callers, many keys in one round
 * trip, one lookup for three processes, how soon a change is seen elsewhere, and what compression makes of a page.
 * Interleaved; medians over the rounds. `bun run bench cache [ROUNDS] [PART…]`, PART as the names of `parts` below.
 */
import * as EffectCache from "effect/Cache"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redis from "../test/kit/Redis.ts"
import * as Nodes from "./cache/nodes.ts"
import { compression } from "./cache/page.ts"
import * as Peers from "./cache/peers.ts"
import { coherence, stampede } from "./cache/several.ts"
import { median, percentile, report, table } from "./kit.ts"

const rounds = Number(process.argv[2] ?? 5)
const names = ["near", "store", "many", "stampede", "coherence", "pages"] as const
const parts: ReadonlyArray<string> = process.argv.length > 3 ? process.argv.slice(3) : names
const millisEach = 400
/** Effect's loop and ours are compiled after hundreds of thousands of gets. */
const warmUpMillis = 4_000
const storeCallers = 64
const many = 100
/** Round trips of each kind in a round, and before the first: a server lives long, and its code is compiled by then. */
const tripsEach = 400
const tripsBefore = 4_000
const processes = 3
const stampedes = 5
const changes = 300
/** Changes that are not counted, while the engines of three processes compile on two cores; they have a row of their own. */
const changesBefore = 150

/** Gets per second of one way, in so many milliseconds. */
type Way = (millis: number) => Promise<number>

const keyOf = (n: number): string => Nodes.keys[n % Nodes.keysMax]!

/** One caller looks at the time after a pass over all keys, which costs much more than a look; many callers each time. */
const inEffect =
  (
    run: <A>(effect: Effect.Effect<A>) => Promise<A>,
    get: (key: string) => Effect.Effect<unknown>,
    callers: number
  ): Way =>
  async (millis) => {
    const until = performance.now() + millis
    let done = 0
    const alone = Effect.gen(function* () {
      while (performance.now() < until) {
        for (const key of Nodes.keys) yield* get(key)
        done += Nodes.keysMax
      }
    })
    const among = Effect.gen(function* () {
      while (performance.now() < until) yield* get(keyOf(done++))
    })
    const began = performance.now()
    await run(
      Effect.all(callers === 1 ? [alone] : Array.from({ length: callers }, () => among), {
        concurrency: "unbounded",
        discard: true
      })
    )
    return (done * 1_000) / (performance.now() - began)
  }

const inPromises =
  ({ get }: Peers.Peer, callers: number): Way =>
  async (millis) => {
    const until = performance.now() + millis
    let done = 0
    const alone = async () => {
      while (performance.now() < until) {
        for (const key of Nodes.keys) await get(key)
        done += Nodes.keysMax
      }
    }
    const among = async () => {
      while (performance.now() < until) await get(keyOf(done++))
    }
    const began = performance.now()
    await Promise.all(callers === 1 ? [alone()] : Array.from({ length: callers }, among))
    return (done * 1_000) / (performance.now() - began)
  }

const interleaved = async <Name extends string>(ways: Readonly<Record<Name, Way>>): Promise<Record<Name, number>> => {
  const names = Object.keys(ways) as Array<string> as Array<Name>
  const seen = new Map<Name, Array<number>>(names.map((name) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const name of names) {
      // The first round warms up, for longer: what is compiled late counts against whoever has more of it.
      const perSecond = await ways[name](round === 0 ? warmUpMillis : millisEach)
      if (round > 0) seen.get(name)!.push(perSecond)
    }
  }
  const medians = names.map((name) => [name, median(seen.get(name)!)] as const)
  console.log(table(medians.map(([cache, perSecond]) => ({ cache, "gets/s": perSecond }))), "\n")
  return Object.fromEntries(medians) as Record<Name, number>
}

const filled = async <P extends Peers.Peer>(peer: P): Promise<P> => {
  for (const [n, key] of Nodes.keys.entries()) await peer.set(key, Nodes.profile(n))
  if ((await peer.get(keyOf(0))) === undefined) throw new Error("a peer does not have what was set")
  return peer
}

const near = async (run: <A>(effect: Effect.Effect<A>) => Promise<A>, cache: Nodes.Profiles) => {
  const theirs = await run(
    EffectCache.make({
      capacity: 10_000,
      timeToLive: "1 hour",
      lookup: (key: string) => Effect.succeed(Option.some(Nodes.profile(Nodes.keys.indexOf(key))))
    })
  )
  const [bento, manager, keyv] = await Promise.all([Peers.bentoNear(), Peers.cacheManager(), Peers.keyv()])
  for (const peer of [bento, manager, keyv]) await filled(peer)
  for (const key of Nodes.keys) await run(Effect.zipRight(cache.get(key), theirs.get(key)))
  console.log("Near hits, one caller")
  return interleaved({
    ours: inEffect(run, cache.get, 1),
    "effect Cache": inEffect(run, (key) => theirs.get(key), 1),
    bentocache: inPromises(bento, 1),
    "cache-manager": inPromises(manager, 1),
    keyv: inPromises(keyv, 1)
  })
}

/** Our caches with nothing near, on the Redis of that port; the second decodes each text. */
interface Far {
  readonly port: number
  readonly run: <A>(effect: Effect.Effect<A>) => Promise<A>
  readonly cache: Nodes.Profiles
  readonly decoding: Nodes.Profiles
}

/** Ours in both ways, since the values of this bench never change: not decoding what is as before, and decoding each text. */
const store = async ({ cache, decoding, port, run }: Far) => {
  const bento = await filled(await Peers.bentoStore(port, true))
  const documented = await filled(await Peers.bentoStore(port, false))
  const raw = await filled(await Peers.ioredisJson(port))
  console.log(`Hits in the store, ${storeCallers} callers`)
  const seen = await interleaved({
    ours: inEffect(run, cache.get, storeCallers),
    "ours, decoding each text": inEffect(run, decoding.get, storeCallers),
    "bentocache, autopipelining": inPromises(bento, storeCallers),
    "bentocache as documented": inPromises(documented, storeCallers),
    "ioredis + JSON": inPromises(raw, storeCallers)
  })
  await Promise.all([bento.close(), documented.close(), raw.close()])
  return seen
}

/** One key, then many, one after the other: microseconds, and how often the first goes into the second. */
const roundTrips = async ({ cache, decoding, port, run }: Far) => {
  const raw = await filled(await Peers.ioredisJson(port))
  const keys = Nodes.keys.slice(0, many)
  const through = (from: Nodes.Profiles) => ({ one: () => run(from.get(keyOf(7))), all: () => run(from.getMany(keys)) })
  const ways = {
    ours: through(cache),
    "ours, decoding each text": through(decoding),
    "ioredis + JSON": { one: () => raw.get(keyOf(7)), all: () => raw.getMany(keys) }
  }
  const rows = Object.entries(ways).map(([cache, way]) => ({ cache, way, one: [0], all: [0] }))
  for (let n = 0; n < tripsBefore + tripsEach * rounds; n++)
    for (const { all, one, way } of rows)
      for (const [samples, get] of [
        [one, way.one],
        [all, way.all]
      ] as const) {
        const began = performance.now()
        await get()
        if (n >= tripsBefore) samples.push((performance.now() - began) * 1_000)
      }
  await raw.close()
  const medians = rows.map(({ all, cache, one }) => ({ cache, "1 key": median(one), [`${many} keys`]: median(all) }))
  console.log(`Microseconds of a round trip\n${table(medians)}\n`)
  const [ours, each] = rows.map(({ all, one }) => median(all) / median(one))
  return { getmany100_vs_get_rtt: ours!, getmany100_decoding_vs_get_rtt: each! }
}

const program = Effect.gen(function* () {
  const redis = yield* Redis.start()
  const { port } = redis
  const runtime = Nodes.runtime(port)
  yield* Effect.addFinalizer(() => Effect.promise(() => runtime.dispose()))
  const run = <A>(effect: Effect.Effect<A>) => runtime.runPromise(effect)
  const scope = yield* Effect.scope
  const [withNear, withoutNear, decoding] = yield* Effect.promise(() => runtime.runPromise(Nodes.all(scope)))
  yield* Effect.promise(() =>
    run(Effect.forEach(Nodes.keys, (key, n) => withNear.set(key, Nodes.profile(n)), { discard: true }))
  )
  const lookups = () =>
    Effect.runPromise(Effect.map(redis.command("GET", "lookups"), (reply) => Number(reply.split("\r\n")[1] ?? 0)))
  const far: Far = { port, run, cache: withoutNear, decoding }
  const figures: Readonly<Record<(typeof names)[number], () => Promise<Readonly<Record<string, number>>>>> = {
    near: async () => {
      const hits = await near(run, withNear)
      return {
        near_hit_vs_bentocache: hits.ours / hits.bentocache,
        near_hit_vs_effect_cache: hits.ours / hits["effect Cache"],
        near_hit_vs_cache_manager: hits.ours / hits["cache-manager"]
      }
    },
    store: async () => {
      const hits = await store(far)
      return {
        store_hit_vs_bentocache: hits.ours / hits["bentocache, autopipelining"],
        store_hit_vs_ioredis_json: hits.ours / hits["ioredis + JSON"],
        store_hit_vs_bentocache_as_documented: hits.ours / hits["bentocache as documented"],
        store_hit_decoding_vs_bentocache: hits["ours, decoding each text"] / hits["bentocache, autopipelining"],
        store_hit_decoding_vs_ioredis_json: hits["ours, decoding each text"] / hits["ioredis + JSON"]
      }
    },
    many: () => roundTrips(far),
    stampede: async () => ({ stampede_lookups: await stampede(port, processes, stampedes, lookups) }),
    coherence: async () => {
      const { cold, warm } = await coherence(port, processes, changesBefore, changes)
      console.log("Milliseconds after which an old value is gone elsewhere")
      console.log(
        table(
          Object.entries({ [`first ${changesBefore} changes`]: cold, [`next ${changes}`]: warm }).map(
            ([when, samples]) => ({
              when,
              p50: median(samples),
              p99: percentile(samples, 0.99)
            })
          )
        ),
        "\n"
      )
      return { coherence_millis_p99: percentile(warm, 0.99) }
    },
    pages: async () => {
      const pages = compression()
      console.log(table(Object.entries(pages).map(([page, seen]) => ({ page, ...seen }))))
      return { page_6kb_compression_ratio: pages.history.ratio, page_6kb_compress_micros: pages.history.micros }
    }
  }
  let seen: Readonly<Record<string, number>> = {}
  for (const name of names) if (parts.includes(name)) seen = { ...seen, ...(yield* Effect.promise(figures[name])) }
  report("cache", seen)
})

await Effect.runPromise(Effect.scoped(program))
process.exit(0)
