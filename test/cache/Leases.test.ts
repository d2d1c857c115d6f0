import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Cache from "../../src/cache/Cache.ts"
import { batchInterval, scriptConcurrency, untrackedTtl } from "../../src/cache/Options.ts"
import * as Settings from "../../src/config/Settings.ts"
import { StoreUnavailable } from "../../src/errors.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

const away = new StoreUnavailable({ operation: "test", cause: new Error("away") })

/** How a call fails: it was never sent, or it was done and only its answer is missing. */
type Fault = "none" | "unsent" | "unanswered"

/** One process's way to the store, with a fault of its scripts and removals while `fault.now` says so. */
const faulty = (server: StoreMemory.Server, fault: { now: Fault }): typeof Store.Service => {
  const store = StoreMemory.connect(server)
  const through = <A>(effect: Effect.Effect<A, StoreUnavailable>) =>
    Effect.suspend(() => {
      if (fault.now === "none") return effect
      return fault.now === "unsent" ? away : Effect.zipRight(effect, away)
    })
  return {
    ...store,
    run: (script, keys, args) => through(store.run(script, keys, args)),
    remove: (...keys) => through(store.remove(...keys))
  }
}

const process = (
  store: typeof Store.Service,
  lookup: (id: string) => Effect.Effect<Option.Option<string>>,
  near?: { readonly entriesMax: number; readonly ttl: "30 minutes" }
) =>
  Cache.make({
    name: "row",
    key: (id: string) => id,
    schema: Schema.String,
    ttl: "30 minutes",
    lookup,
    ...(near && { near })
  }).pipe(Effect.provide(Layer.merge(Layer.succeed(Store, store), Settings.layerTest())))

const settle = Effect.repeatN(Effect.yieldNow(), 20)

/** A read by another process, of which no answer may be waited for. */
const readElsewhere = (server: StoreMemory.Server) =>
  Effect.gen(function* () {
    const other = yield* process(StoreMemory.connect(server), () => Effect.succeed(Option.some("new")))
    const reading = yield* Effect.fork(other.get("ada"))
    yield* settle
    return Option.isSome(yield* Fiber.poll(reading))
  })

it("a lookup whose lease the store did not take back keeps others waiting only until it answers again", () =>
  Effect.gen(function* () {
    const server = StoreMemory.server()
    const fault = { now: "none" as Fault }
    const gate = yield* Deferred.make<void>()
    const cache = yield* process(faulty(server, fault), () => Effect.as(Deferred.await(gate), Option.some("old")))
    const reading = yield* Effect.fork(cache.get("ada"))
    yield* settle
    fault.now = "unsent"
    yield* Deferred.succeed(gate, undefined)
    expect(yield* Fiber.join(reading)).toEqual(Option.some("old"))
    yield* settle
    fault.now = "none"
    yield* TestClock.adjust(batchInterval)
    expect(yield* readElsewhere(server)).toBe(true)
  }))

it("a lease that the store gave without its answer arriving is given back", () =>
  Effect.gen(function* () {
    const server = StoreMemory.server()
    const fault = { now: "unanswered" as Fault }
    const cache = yield* process(faulty(server, fault), () => Effect.succeed(Option.some("old")))
    expect(yield* cache.get("ada")).toEqual(Option.some("old"))
    yield* settle
    fault.now = "none"
    yield* TestClock.adjust(batchInterval)
    expect(yield* readElsewhere(server)).toBe(true)
  }))

it("however many keys are looked up at once, the store gets no more scripts at one time than it answers in time", () =>
  Effect.gen(function* () {
    const store = StoreMemory.connect(StoreMemory.server())
    let now = 0
    let most = 0
    const counting: typeof Store.Service = {
      ...store,
      run: (script, keys, args) =>
        Effect.suspend(() => {
          most = Math.max(most, ++now)
          return Effect.ensuring(
            Effect.zipRight(Effect.yieldNow(), store.run(script, keys, args)),
            Effect.sync(() => now--)
          )
        })
    }
    const cache = yield* process(counting, (id) => Effect.succeed(Option.some(id)))
    const keys = Array.from({ length: 3 * scriptConcurrency }, (_, n) => String(n))
    expect((yield* cache.getMany(keys)).size).toBe(keys.length)
    expect(most).toBe(scriptConcurrency)
  }))

it("a process that ends while it looks up gives its lease back", () =>
  Effect.gen(function* () {
    const server = StoreMemory.server()
    const lookup = () => Effect.never
    const ending = Effect.tap(process(StoreMemory.connect(server), lookup), (cache) =>
      Effect.zipRight(Effect.fork(cache.get("ada")), settle)
    )
    yield* Effect.scoped(ending)
    expect(yield* readElsewhere(server)).toBe(true)
  }))

it("where changes made elsewhere go unseen, a near value is asked for again after a second", () =>
  Effect.gen(function* () {
    const server = StoreMemory.server()
    const deaf: typeof Store.Service = { ...StoreMemory.connect(server), follow: () => Effect.void }
    const near = { entriesMax: 10, ttl: "30 minutes" } as const
    const cache = yield* process(deaf, () => Effect.succeed(Option.some("old")), near)
    yield* cache.get("ada")
    yield* settle
    const other = yield* process(StoreMemory.connect(server), () => Effect.succeedNone)
    yield* other.set("ada", "new")
    expect(yield* cache.get("ada")).toEqual(Option.some("old"))
    yield* TestClock.adjust(untrackedTtl)
    expect(yield* cache.get("ada")).toEqual(Option.some("new"))
  }))
