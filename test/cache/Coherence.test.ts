import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import * as Cache from "../../src/cache/Cache.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Store } from "../../src/store/Store.ts"
import { it } from "../kit/effect.ts"
import * as Redis from "../kit/Redis.ts"

const schedules = 30

/** What a node does next. Each key has one node that sets it; rows that a cache only reads may be changed by both. */
const step = fc.record({
  does: fc.constantFrom("get", "get", "set", "change"),
  key: fc.constantFrom("a", "b"),
  turns: fc.nat({ max: 3 })
})

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

const steps = fc.array(step, { minLength: 5, maxLength: 30 })

/** The rows that the caches are of: every change of a row is a greater number. */
const rows = new Map<string, number>()

const node = Effect.gen(function* () {
  const store = Redis.patientStore(yield* Redis.shared)
  const services = yield* Layer.build(Layer.merge(Layer.scoped(Store, store), Settings.layerTest()))
  return yield* Cache.make({
    name: "coherent",
    key: (id: string) => id,
    schema: Schema.Number,
    ttl: "1 hour",
    near: { entriesMax: 1_000, ttl: "1 hour" },
    lookup: (id) => Effect.sync(() => Option.fromNullable(rows.get(id)))
  }).pipe(Effect.provide(services))
})

type Node = Effect.Effect.Success<typeof node>

let last = 0

/** Runs a node's steps; what it reads is never older than what it has written itself. */
const play = (cache: Node, prefix: string, own: string, other: string, all: ReadonlyArray<Step>) =>
  Effect.gen(function* () {
    const written = new Map<string, number>()
    for (const { does, key, turns } of all) {
      yield* Effect.repeatN(Effect.yieldNow(), turns)
      const name = `${prefix}:${does === "set" ? own : key}`
      if (does !== "get") {
        rows.set(name, ++last)
        written.set(name, last)
        yield* does === "set" ? cache.set(name, last) : cache.invalidate(name)
      }
      expect(Option.getOrElse(yield* cache.get(name), () => 0)).toBeGreaterThanOrEqual(written.get(name) ?? 0)
      yield* cache.get(`${prefix}:${other}`)
    }
  })

/** Both caches have the rows, when what they tell each other has arrived. */
const settled = (caches: ReadonlyArray<Node>, prefix: string) =>
  Effect.gen(function* () {
    for (const [name, value] of rows)
      if (name.startsWith(prefix))
        for (const cache of caches) expect(yield* cache.get(name)).toEqual(Option.some(value))
  }).pipe(Effect.sandbox, Effect.retry(Schedule.intersect(Schedule.spaced("5 millis"), Schedule.recurs(100))))

it.live("after any schedule two processes read what was written last, and none what is older than its own", () =>
  Effect.gen(function* () {
    const [here, there] = yield* Effect.all([node, node])
    const run = Runtime.runPromise(yield* Effect.runtime<never>())
    let schedule = 0
    const property = fc.asyncProperty(steps, steps, (first, second) => {
      const prefix = `${schedule++}`
      const both = [play(here, prefix, "here", "there", first), play(there, prefix, "there", "here", second)]
      return run(Effect.zipRight(Effect.all(both, { concurrency: "unbounded" }), settled([here, there], `${prefix}:`)))
    })
    yield* Effect.promise(() => fc.assert(property, { numRuns: schedules }))
  })
)
