import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Batcher from "../../src/request/Batcher.ts"
import { it } from "../kit/effect.ts"

/** Doubles even numbers, knows no odd ones, and keeps the batches it was asked for. */
const doubling = (options?: Batcher.Options) => {
  const batches: Array<ReadonlyArray<number>> = []
  const batcher = Batcher.make((keys: ReadonlyArray<number>) => {
    batches.push([...keys])
    return Effect.succeed(new Map(keys.filter((n) => n % 2 === 0).map((n) => [n, n * 2])))
  }, options)
  return { batches, batcher }
}

it("loads of separate fibers in one turn are one batch, each key once", () =>
  Effect.gen(function* () {
    const { batches, batcher } = doubling()
    const loads = yield* Effect.forEach([2, 4, 2, 3], (n) => Effect.fork(batcher.load(n)))
    const found = yield* Fiber.join(Fiber.all(loads))
    expect(found).toEqual([Option.some(4), Option.some(8), Option.some(4), Option.none()])
    expect(batches).toEqual([[2, 4, 3]])
  }))

it("what a level of the query loads after another is one more batch", () =>
  Effect.gen(function* () {
    const { batches, batcher } = doubling()
    const twice = (n: number) =>
      Effect.flatMap(batcher.load(n), (found) => batcher.load(Option.getOrElse(found, () => 0) * 100))
    yield* Effect.forEach([2, 4, 6], twice, { concurrency: "unbounded" })
    expect(batches).toEqual([
      [2, 4, 6],
      [400, 800, 1200]
    ])
  }))

it("a loaded key is not asked for again", () =>
  Effect.gen(function* () {
    const { batches, batcher } = doubling()
    yield* batcher.load(2)
    expect(yield* batcher.load(2)).toEqual(Option.some(4))
    expect(batches).toEqual([[2]])
  }))

it("a key that has nothing is not asked for again, nor one that a later batch has found", () =>
  Effect.gen(function* () {
    const { batches, batcher } = doubling()
    yield* batcher.load(3)
    yield* batcher.load(4)
    expect(yield* batcher.load(3)).toEqual(Option.none())
    expect(yield* batcher.load(4)).toEqual(Option.some(8))
    expect(batches).toEqual([[3], [4]])
  }))

it("a failed batch fails its loads and is tried again by the next load", () =>
  Effect.gen(function* () {
    let runs = 0
    const batcher = Batcher.make<string, number, string>((keys) =>
      ++runs === 1 ? Effect.fail("away") : Effect.succeed(new Map(keys.map((key) => [key, 1])))
    )
    const first = yield* Effect.all([Effect.exit(batcher.load("a")), Effect.exit(batcher.load("b"))], {
      concurrency: "unbounded"
    })
    expect(first).toEqual([Exit.fail("away"), Exit.fail("away")])
    expect(yield* batcher.load("a")).toEqual(Option.some(1))
  }))

for (const keep of [true, false])
  it(`more keys than a batch may hold go into several, each into one (${keep ? "kept" : "not kept"})`, () =>
    Effect.gen(function* () {
      const { batches, batcher } = doubling({ keep })
      const keys = Array.from({ length: Batcher.batchKeysMax + 1 }, (_, i) => i)
      const found = yield* Effect.forEach([...keys, ...keys], batcher.load, { concurrency: "unbounded" })
      expect(batches.map((batch) => batch.length)).toEqual([Batcher.batchKeysMax, 1])
      expect(found.slice(-3)).toEqual([Option.some(1996), Option.none(), Option.some(2000)])
    }))

it("a batch holds as many loads of its keys as there are", () =>
  Effect.gen(function* () {
    const { batches, batcher } = doubling()
    const loads = Array.from({ length: Batcher.batchKeysMax * 2 }, (_, i) => i % 3)
    yield* Effect.forEach(loads, batcher.load, { concurrency: "unbounded" })
    expect(batches).toEqual([[0, 1, 2]])
  }))

it("keys are equal as those of a Map are, however many come", () =>
  Effect.gen(function* () {
    for (const more of [0, 100]) {
      const { batches, batcher } = doubling()
      const others = Array.from({ length: more }, (_, i) => i + 2)
      const found = yield* Effect.forEach([Number.NaN, 0, ...others, Number.NaN, -0], batcher.load, {
        concurrency: "unbounded"
      })
      expect(batches).toEqual([[Number.NaN, 0, ...others]])
      expect(found.slice(-2)).toEqual([Option.none(), Option.some(0)])
    }
  }))

/** One that finds the keys when it is told to, and keeps the batches it was asked for. */
const gated = (options?: Batcher.Options) =>
  Effect.map(Deferred.make<void>(), (gate) => {
    const batches: Array<ReadonlyArray<string>> = []
    const batcher = Batcher.make((keys: ReadonlyArray<string>) => {
      batches.push(keys)
      return Effect.as(Deferred.await(gate), new Map(keys.map((key) => [key, key])))
    }, options)
    return { batches, batcher, open: Deferred.succeed(gate, undefined) }
  })

/** So many turns that every batch has begun. */
const turns = Effect.repeatN(Effect.yieldNow(), Batcher.turnsMax * 2)

it("a key whose batch is under way is not asked for again", () =>
  Effect.gen(function* () {
    const { batches, batcher, open } = yield* gated()
    const first = yield* Effect.fork(batcher.load("a"))
    yield* turns
    const second = yield* Effect.fork(Effect.all([batcher.load("a"), batcher.load("b")], { concurrency: "unbounded" }))
    yield* turns
    expect(batches).toEqual([["a"], ["b"]])
    yield* open
    expect(yield* Fiber.join(first)).toEqual(Option.some("a"))
    expect(yield* Fiber.join(second)).toEqual([Option.some("a"), Option.some("b")])
  }))

it("where nothing is kept, nobody gets what was asked for before", () =>
  Effect.gen(function* () {
    const { batches, batcher, open } = yield* gated({ keep: false })
    const first = yield* Effect.fork(batcher.load("a"))
    yield* turns
    const second = yield* Effect.fork(batcher.load("a"))
    yield* turns
    yield* open
    yield* Fiber.join(Fiber.zip(first, second))
    yield* batcher.load("a")
    expect(batches).toEqual([["a"], ["a"], ["a"]])
  }))

it("what nobody waits for any more is not begun, and asked for again by the next load", () =>
  Effect.gen(function* () {
    const { batches, batcher, open } = yield* gated()
    const left = yield* Effect.fork(batcher.load("a"))
    yield* Effect.yieldNow()
    yield* Fiber.interrupt(left)
    yield* turns
    expect(batches).toEqual([])
    const stopped = yield* Effect.fork(batcher.load("a"))
    yield* turns
    yield* Fiber.interrupt(stopped)
    yield* open
    expect(yield* batcher.load("a")).toEqual(Option.some("a"))
    expect(batches).toEqual([["a"], ["a"]])
  }))

it("the batch is interrupted when the last load that waits for it is", () =>
  Effect.gen(function* () {
    const begun = yield* Deferred.make<void>()
    const stopped = yield* Deferred.make<void>()
    const batcher = Batcher.make<number, number>(() =>
      Deferred.succeed(begun, undefined).pipe(
        Effect.zipRight(Effect.never),
        Effect.onInterrupt(() => Deferred.succeed(stopped, undefined))
      )
    )
    const one = yield* Effect.fork(batcher.load(1))
    const two = yield* Effect.fork(batcher.load(2))
    yield* Deferred.await(begun)
    yield* Fiber.interrupt(one)
    expect(yield* Deferred.isDone(stopped)).toBe(false)
    yield* Fiber.interrupt(two)
    yield* Deferred.await(stopped)
  }))
