import { expect } from "bun:test"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as RedisStore from "../../layers/store/RedisStore.ts"
import * as Cache from "../../src/cache/Cache.ts"
import * as Tags from "../../src/cache/Tags.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Store } from "../../src/store/Store.ts"
import { percentile } from "../../bench/kit.ts"
import { it } from "../kit/effect.ts"
import * as Redis from "../kit/Redis.ts"

/** A cache as another process would have it: its own connections, the rows shared. */
const node = (store: ReturnType<typeof RedisStore.make>, rows: Map<string, string>) =>
  Effect.gen(function* () {
    const services = yield* Layer.build(Layer.merge(Layer.scoped(Store, store), Settings.layerTest()))
    return yield* Cache.make({
      name: "row",
      key: (id: string) => id,
      schema: Schema.String,
      ttl: "1 hour",
      near: { entriesMax: 1_000, ttl: "1 hour" },
      lookup: (id) => Effect.sync(() => Option.fromNullable(rows.get(id)))
    }).pipe(Effect.provide(services))
  })

it.live("what one process changes is gone from the near cache of another", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.shared
    const rows = new Map([["a", "0"]])
    const [here, there] = yield* Effect.all([
      node(Redis.patientStore(redis), rows),
      node(Redis.patientStore(redis), rows)
    ])
    for (let n = 1; n <= 50; n++) {
      yield* there.get("a")
      rows.set("a", String(n))
      yield* here.invalidate("a")
      yield* there
        .get("a")
        .pipe(
          Effect.repeat({ until: (found) => Option.contains(found, String(n)), schedule: Schedule.spaced("1 millis") }),
          Effect.timeout("1 second")
        )
    }
  })
)

it.live("with Redis stopped every read is answered by the lookup, and what was invalidated meanwhile stays gone", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start()
    const rows = new Map(Array.from({ length: 100 }, (_, n) => [String(n), "old"] as [string, string]))
    const store = RedisStore.make(Redis.address(redis))
    const [here, there] = yield* Effect.all([node(store, rows), node(store, rows)])
    const waits: Array<number> = []
    for (const key of rows.keys()) yield* here.get(key)
    yield* redis.pause
    for (const key of rows.keys()) rows.set(key, "new")
    for (const key of rows.keys()) {
      yield* here.invalidate(key)
      const [waited, found] = yield* Effect.timed(here.get(key))
      expect(found).toEqual(Option.some("new"))
      waits.push(Duration.toMillis(waited))
    }
    expect(percentile(waits, 0.9)).toBeLessThan(100)
    yield* redis.resume
    yield* there
      .get("99")
      .pipe(
        Effect.repeat({ until: (found) => Option.contains(found, "new"), schedule: Schedule.spaced("10 millis") }),
        Effect.timeout("5 seconds")
      )
    for (const key of rows.keys()) expect(yield* there.get(key)).toEqual(Option.some("new"))
  })
)

/** Reads until the value is there; how many milliseconds that took. */
const seen = (cache: Cache.Cache<string, string>, value: string) =>
  cache.get("a").pipe(
    Effect.repeat({ until: (found) => Option.contains(found, value), schedule: Schedule.spaced("2 millis") }),
    Effect.timeout("5 seconds"),
    Effect.timed,
    Effect.map(([took]) => Duration.toMillis(took))
  )

it.live("when the news of changes are cut off nothing near is trusted, and they are heard again after that", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start()
    const rows = new Map([["a", "0"]])
    const [here, there] = yield* Effect.all([
      node(Redis.patientStore(redis), rows),
      node(Redis.patientStore(redis), rows)
    ])
    for (let n = 1; n <= 5; n++) {
      yield* seen(there, String(n - 1))
      yield* redis.command("CLIENT", "KILL", "TYPE", "pubsub")
      rows.set("a", String(n))
      yield* here.invalidate("a")
      // Near values live a second at most while changes go unseen.
      expect(yield* seen(there, String(n))).toBeLessThan(1_500)
    }
  })
)

it.live("a change is heard of on every server of a cluster", () =>
  Effect.gen(function* () {
    const rows = new Map<string, string>()
    const keys = Array.from({ length: 30 }, (_, n) => `key${n}`)
    const [here, there] = yield* Effect.all([node(Redis.clusterStore, rows), node(Redis.clusterStore, rows)])
    for (const key of keys) yield* here.set(key, "old")
    yield* Effect.repeat(there.getMany(keys), { until: (found) => found.size === keys.length })
    for (const key of keys) yield* here.set(key, "new")
    const allNew = (found: ReadonlyMap<string, string>) => keys.every((key) => found.get(key) === "new")
    yield* Effect.repeat(there.getMany(keys), { until: allNew, schedule: Schedule.spaced("2 millis") }).pipe(
      Effect.timeout("5 seconds")
    )
  })
)

it.live("without a near part a value is decoded once for as long as Redis has the same bytes", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.shared
    const open = Effect.gen(function* () {
      const services = yield* Layer.build(
        Layer.merge(Layer.scoped(Store, Redis.patientStore(redis)), Settings.layerTest())
      )
      const schema = Schema.Struct({ name: Schema.String })
      return yield* Effect.provide(
        Cache.make({ name: "bytes", key: (id: string) => id, schema, ttl: "1 hour" }),
        services
      )
    })
    const [here, there] = yield* Effect.all([open, open])
    yield* there.set("jürgen", { name: "Jürgen 🙂" })
    const first = Option.getOrThrow(yield* here.get("jürgen"))
    expect(first).toEqual({ name: "Jürgen 🙂" })
    expect(Option.getOrThrow(yield* here.get("jürgen"))).toBe(first)
    expect((yield* here.getMany(["nobody", "jürgen"])).get("jürgen")).toBe(first)
    yield* there.set("jürgen", { name: "Jürgen 🙃" })
    expect(yield* here.get("jürgen")).toEqual(Option.some({ name: "Jürgen 🙃" }))
  })
)

it.live("where Redis has bytes that are no text, the value is looked up at once and kept", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.shared
    const rows = new Map([["a", "1"]])
    yield* redis.flush
    yield* redis.command("EVAL", "return redis.call('SET', KEYS[1], '\\255;')", "1", "cache:row:a")
    const [here, there] = yield* Effect.all([
      node(Redis.patientStore(redis), rows),
      node(Redis.patientStore(redis), rows)
    ])
    expect(yield* Effect.timeout(here.get("a"), "1 second")).toEqual(Option.some("1"))
    yield* seen(there, "1")
    expect((yield* there.stats).misses).toBe(0)
  })
)

it.live("keys and tags that are no well-formed text are told apart, and heard of", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.shared
    yield* redis.flush
    const rows = new Map<string, string>()
    const open = Effect.gen(function* () {
      const services = yield* Layer.build(
        Layer.provideMerge(
          Tags.layer,
          Layer.merge(Layer.scoped(Store, Redis.patientStore(redis)), Settings.layerTest())
        )
      )
      return yield* Effect.gen(function* () {
        const tags = yield* Tags.Tags
        const cache = yield* Cache.make({
          name: "broken",
          key: (id: string) => id,
          schema: Schema.String,
          ttl: "1 hour",
          near: { entriesMax: 100, ttl: "1 hour" },
          tags: tags.by((_, id: string) => [id]),
          lookup: (id) => Effect.sync(() => Option.fromNullable(rows.get(id)))
        })
        return { cache, tags }
      }).pipe(Effect.provide(services))
    })
    const [here, there] = yield* Effect.all([open, open])
    const keys = ["\ud800", "\udbff", "\ufffd", "\0\ufffd", "ada"]
    for (const key of keys) rows.set(key, `old ${key}`)
    const both = Effect.forEach(keys, (key) => Effect.all([here.cache.get(key), there.cache.get(key)]))
    const are = (wanted: (key: string) => string) =>
      Effect.repeat(both, {
        until: (all) => all.every((pair, index) => pair.every(Option.contains(wanted(keys[index]!)))),
        schedule: Schedule.spaced("2 millis")
      }).pipe(Effect.timeout("1 second"))
    yield* are((key) => `old ${key}`)
    for (const key of keys) yield* here.cache.set(key, `new ${key}`)
    yield* are((key) => `new ${key}`)
    for (const key of keys) rows.set(key, `newest ${key}`)
    yield* here.tags.invalidate(...keys)
    yield* are((key) => `newest ${key}`)
  })
)
