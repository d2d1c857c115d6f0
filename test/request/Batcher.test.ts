import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Batcher from "../../src/request/Batcher.ts"
import { it } from "../kit/effect.ts"

/** Doubles even numbers, knows no odd ones, and keeps the batches it was asked for. */
const doubling = () => {
  const batches: Array<ReadonlyArray<number>> = []
  const batcher = Batcher.make((keys: ReadonlyArray<number>) => {
    batches.push([...keys])
    return Effect.succeed(new Map(keys.filter((n) => n % 2 === 0).map((n) => [n, n * 2])))
  })
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

it("more keys than a batch may hold go into several", () =>
  Effect.gen(function* () {
    const { batches, batcher } = doubling()
    const keys = Array.from({ length: Batcher.batchKeysMax + 1 }, (_, i) => i)
    yield* Effect.forEach(keys, batcher.load, { concurrency: "unbounded" })
    expect(batches.map((batch) => batch.length)).toEqual([Batcher.batchKeysMax, 1])
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
