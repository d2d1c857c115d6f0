import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import fc from "fast-check"
import * as Envelope from "../../src/cache/Envelope.ts"
import * as Tags from "../../src/cache/Tags.ts"
import * as Gcra from "../../src/rate/Gcra.ts"
import { pace } from "../../src/rate/Rule.ts"
import type { Store } from "../../src/store/Store.ts"
import * as Stored from "../../src/store/Stored.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"
import * as Redis from "../kit/Redis.ts"

type Run = (store: typeof Store.Service) => Effect.Effect<unknown, unknown>

const key = fc.constantFrom("a", "b", "c")
/** Texts that Redis holds as bytes and JavaScript as UTF-16. */
const text = fc
  .oneof(fc.constantFrom("", "1", "é", "\u{1f600}", "\uffee"), fc.string({ maxLength: 8, unit: "binary" }))
  .filter((value) => Buffer.from(value).toString() === value)
const texts = fc.array(text, { maxLength: 4 })
/** Long, so that no key runs out while the two are compared. */
const ttl = fc.constantFrom("1 hour", "1 day")
const score = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom(0.5, 1e15, -1e-3, Infinity, -Infinity))
const index = fc.integer({ min: -4, max: 4 })

const sorted = (effect: Effect.Effect<ReadonlyArray<string>, unknown>) => Effect.map(effect, (all) => [...all].sort())

/** A charge at a time of our own, so that both stores see the same clock. */
const charge = fc.record({
  key,
  at: fc.integer({ min: 0, max: 10_000_000 }),
  limit: fc.integer({ min: 1, max: 20 }),
  burst: fc.integer({ min: 1, max: 5 }),
  // A short window leaves a key in the time of its first end, a long one moves it.
  window: fc.constantFrom("1 second" as const, "1 hour" as const),
  cost: fc.integer({ min: 0, max: 3 })
})

const epochMicros = 1_700_000_000_000_000

type Charge = typeof charge extends fc.Arbitrary<infer C> ? C : never

/** Calls of one or several charges, all in one script. */
const calls = fc.array(fc.array(charge, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 })

const takeArgs = (all: ReadonlyArray<ReadonlyArray<Charge>>) =>
  Gcra.argsOf(
    all.map((charges) =>
      charges.map(({ burst, cost, limit, window }) => {
        const { interval, tolerance } = pace({ limit, window, burst })
        return { tolerance, cost: cost * interval }
      })
    ),
    epochMicros + (all[0]?.[0]?.at ?? 0)
  )

/** An operation that shows its name and arguments in a counterexample. */
const op = <Args extends Array<unknown>>(
  name: string,
  args: fc.Arbitrary<Args>,
  run: (store: typeof Store.Service, ...args: Args) => Effect.Effect<unknown, unknown>
): fc.Arbitrary<Run> =>
  args.map((given) =>
    Object.assign((store: typeof Store.Service) => run(store, ...given), {
      [fc.toStringMethod]: () => `${name}${fc.stringify(given)}`
    })
  )

const options = fc.record({ ttl, onlyIfAbsent: fc.boolean() }, { requiredKeys: [] })
const fields = fc.dictionary(text, text, { maxKeys: 3, noNullPrototype: true })
const entries = fc.array(fc.tuple(key, text), { maxLength: 3 })
const scores = fc.array(fc.tuple(text, score), { maxLength: 4 })
const maybeTtl = fc.option(ttl, { nil: undefined })
const seen = fc.constantFrom("", "l1;", "l2;", "j1.a;")
const lease = fc.constantFrom("l1;", "l2;")
const filled = fc.constantFrom("", "j1.a;1", "j1.b;2")

const operation: fc.Arbitrary<Run> = fc.oneof(
  op("get", fc.tuple(key), (store, k) => store.get(k)),
  op("getMany", fc.tuple(fc.array(key, { maxLength: 4 })), (store, keys) => store.getMany(keys)),
  op("getStored", fc.tuple(fc.array(key, { maxLength: 4 })), (store, keys) =>
    Effect.map(store.getStored(keys), (all) => all.map((stored) => (stored === null ? null : Stored.text(stored))))
  ),
  op("set", fc.tuple(key, text, options), (store, k, value, more) => store.set(k, value, more)),
  op("setMany", fc.tuple(entries, ttl), (store, all, time) => store.setMany(all, time)),
  op("remove", fc.tuple(fc.array(key, { maxLength: 3 })), (store, keys) => store.remove(...keys)),
  op("expire", fc.tuple(key, ttl), (store, k, time) => store.expire(k, time)),
  op("hashSet", fc.tuple(key, fields, maybeTtl), (store, k, all, time) => store.hashSet(k, all, time)),
  op("hashGet", fc.tuple(key, text), (store, k, field) => store.hashGet(k, field)),
  op("hashGetAll", fc.tuple(key), (store, k) => store.hashGetAll(k)),
  op("hashRemove", fc.tuple(key, texts), (store, k, all) => store.hashRemove(k, ...all)),
  op("listPush", fc.tuple(key, texts, fc.integer({ min: 1, max: 5 })), (store, k, all, keep) =>
    store.listPush(k, all, keep)
  ),
  op("listRange", fc.tuple(key, index, index), (store, k, start, stop) => store.listRange(k, start, stop)),
  op("setAdd", fc.tuple(key, texts), (store, k, all) => store.setAdd(k, ...all)),
  op("setRemove", fc.tuple(key, texts), (store, k, all) => store.setRemove(k, ...all)),
  op("setMembers", fc.tuple(key), (store, k) => sorted(store.setMembers(k))),
  op("sortedAdd", fc.tuple(key, scores), (store, k, all) => store.sortedAdd(k, all)),
  op("sortedRemove", fc.tuple(key, texts), (store, k, all) => store.sortedRemove(k, ...all)),
  op("sortedRange", fc.tuple(key, score, score), (store, k, min, max) => store.sortedRange(k, min, max)),
  op("cache_lease", fc.tuple(key, seen, lease), (store, k, before, text) =>
    Effect.map(store.run(Envelope.lease, [`leased:${k}`], [before, text, "3600000"]), (at) => at >= 0)
  ),
  op("cache_settle", fc.tuple(key, lease, filled), (store, k, before, text) =>
    store.run(Envelope.settle, [`leased:${k}`], [before, text, "3600000"])
  ),
  op("leased", fc.tuple(key), (store, k) => store.get(`leased:${k}`)),
  op("leased as a set", fc.tuple(key, texts), (store, k, all) => store.setAdd(`leased:${k}`, ...all)),
  // What these two write is the time.
  op("cache_put", fc.tuple(key), (store, k) =>
    Effect.zipRight(
      store.run(Envelope.put, [`put:${k}`], ["j1", ".a;1", "3600000"]),
      Effect.map(
        store.get(`put:${k}`),
        Option.map((text) => text.replace(/\d{12,}/, "now"))
      )
    )
  ),
  op("cache_touch", fc.tuple(key), (store, k) =>
    Effect.map(store.run(Tags.touch, [`tag:${k}`], ["3600000"]), (at) => Number.isInteger(at))
  ),
  op("rate_take", fc.tuple(calls), (store, all) =>
    store.run(
      Gcra.take,
      all.flat().map((one) => `rate:${one.key}`),
      takeArgs(all)
    )
  )
)

/** The value, or that the operation does not go with the kind of value there. */
const outcome = (run: Run, store: typeof Store.Service) =>
  Effect.match(Effect.sandbox(run(store)), {
    onFailure: (cause) => (String(cause).includes("WRONGTYPE") ? "WRONGTYPE" : String(cause)),
    onSuccess: (value) => value
  })

it.live("memory and Redis give the same answers to the same operations, every script included", () =>
  Effect.gen(function* () {
    const server = yield* Redis.start()
    const redis = yield* Redis.patientStore(server)
    yield* Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 40 }), (operations) =>
          Effect.runPromise(
            Effect.gen(function* () {
              yield* server.flush
              const memory = yield* StoreMemory.make()
              for (const run of operations) {
                const [here, there] = [yield* outcome(run, memory), yield* outcome(run, redis)]
                expect(here).toEqual(there)
              }
            })
          )
        ),
        { numRuns: 150 }
      )
    )
  })
)
