import { expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scheduler from "effect/Scheduler"
import * as TestClock from "effect/TestClock"
import * as Arguments from "../../src/cache/Arguments.ts"
import * as Caches from "../../src/cache/Caches.ts"
import * as Cached from "../../src/cache/Cached.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Conflict } from "../../src/errors.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

const services = Layer.mergeAll(StoreMemory.layer, Settings.layerTest())

it("a wrapped function runs once for the same arguments, until they are invalidated", () =>
  Effect.gen(function* () {
    let calls = 0
    const add = yield* Cached.method({ name: "add", schema: Schema.Number, ttl: "5 minutes" }, (a: number, b: number) =>
      Effect.sync(() => (calls++, a + b))
    )
    expect([yield* add(1, 2), yield* add(1, 2), yield* add(2, 1)]).toEqual([3, 3, 3])
    expect(calls).toBe(2)
    yield* add.invalidate(1, 2)
    yield* add(1, 2)
    expect(calls).toBe(3)
  }).pipe(Effect.provide(services)))

class Adder {
  calls = 0
  gate = Effect.void
  @Cached.cacheable("1 minute", "adder")
  add(a: number, b: number): Effect.Effect<number, Conflict> {
    return Effect.zipRight(
      this.gate,
      Effect.suspend(() => (this.calls++, a < 0 ? new Conflict({ message: "negative" }) : Effect.succeed(a + b)))
    )
  }
}

it("a decorated method runs once for the same arguments of the same object, until its time is over", () =>
  Effect.gen(function* () {
    const [one, other] = [new Adder(), new Adder()]
    expect([yield* one.add(1, 2), yield* one.add(1, 2), yield* other.add(1, 2)]).toEqual([3, 3, 3])
    expect([one.calls, other.calls]).toEqual([1, 1])
    yield* TestClock.adjust("1 minute")
    yield* one.add(1, 2)
    expect(one.calls).toBe(2)
  }))

it("a decorated method's failures are not kept", () =>
  Effect.gen(function* () {
    const adder = new Adder()
    for (let n = 0; n < 2; n++) expect(yield* Effect.flip(adder.add(-1, 2))).toBeInstanceOf(Conflict)
    expect(adder.calls).toBe(2)
  }))

it("callers of a decorated method share a call; when the one that runs it is interrupted another runs it", () =>
  Effect.gen(function* () {
    const adder = new Adder()
    const gate = yield* Deferred.make<void>()
    adder.gate = Deferred.await(gate)
    const first = yield* Effect.fork(adder.add(1, 2))
    yield* Effect.yieldNow()
    const others = yield* Effect.fork(
      Effect.all(
        Array.from({ length: 10 }, () => adder.add(1, 2)),
        { concurrency: 10 }
      )
    )
    yield* Effect.yieldNow()
    yield* Fiber.interrupt(first)
    yield* Deferred.succeed(gate, undefined)
    expect(yield* Fiber.join(others)).toEqual(Array.from({ length: 10 }, () => 3))
    expect(adder.calls).toBe(1)
  }))

it("a caller that is interrupted at any step leaves the method to others", () =>
  Effect.sync(() => {
    /** The fiber's steps, until it is done or waits. */
    const run = (
      scheduler: Scheduler.ControlledScheduler,
      fiber: Fiber.RuntimeFiber<unknown, unknown>,
      steps = 100
    ) => {
      for (let n = 0; n < steps && fiber.unsafePoll() === null; n++) scheduler.step()
      return fiber.unsafePoll()
    }
    for (let opsPerStep = 10; opsPerStep < 40; opsPerStep++)
      for (let steps = 0; steps < 12; steps++) {
        const adder = new Adder()
        const scheduler = new Scheduler.ControlledScheduler()
        const first = Effect.runFork(Effect.withMaxOpsBeforeYield(adder.add(1, 2), opsPerStep), { scheduler })
        run(scheduler, first, steps)
        first.unsafeInterruptAsFork(first.id())
        run(scheduler, first)
        expect(run(scheduler, Effect.runFork(adder.add(1, 2), { scheduler }))).toEqual(Exit.succeed(3))
      }
  }))

class Book {
  calls = 0
  @Cached.cacheable("1 minute", "book")
  read(page: number): Effect.Effect<{ readonly page: number }, Conflict> {
    return Effect.sync(() => (this.calls++, { page }))
  }
}

it("where Caches is there, a decorated method's results are shared between objects and processes", () =>
  Effect.gen(function* () {
    const server = StoreMemory.server()
    const process = yield* Effect.all(
      [1, 2].map(() =>
        Layer.build(
          Layer.provide(
            Caches.layer,
            Layer.merge(
              Layer.sync(Store, () => StoreMemory.connect(server)),
              Settings.layerTest()
            )
          )
        )
      )
    )
    const books = [new Book(), new Book()]
    for (const [index, book] of books.entries()) {
      for (let n = 0; n < 2; n++) {
        expect(yield* book.read(7).pipe(Effect.provide(process[index]!))).toEqual({ page: 7 })
        yield* Effect.repeatN(Effect.yieldNow(), 20)
      }
    }
    expect(books.map(({ calls }) => calls)).toEqual([1, 0])
  }))

it("two decorated methods of one name are a defect where their results are shared", () =>
  Effect.gen(function* () {
    class Other {
      @Cached.cacheable("1 minute", "book")
      read(page: number): Effect.Effect<string> {
        return Effect.succeed(`another ${page}`)
      }
    }
    expect(yield* new Book().read(7)).toEqual({ page: 7 })
    expect(Exit.isFailure(yield* Effect.exit(new Other().read(7)))).toBe(true)
    expect(yield* new Book().read(8)).toEqual({ page: 8 })
  }).pipe(Effect.provide(Layer.provide(Caches.layer, services))))

test("arguments that differ have keys that differ", () => {
  const all = [
    [],
    ["1"],
    [1],
    [1n],
    [null],
    [undefined],
    [Number.NaN],
    [Infinity],
    [[undefined]],
    [{}],
    [{ a: null }],
    [{ a: Number.NaN }],
    [new Map([["a", 1]])],
    [new Map([["a", 2]])],
    [new Set(["a"])],
    [new Set(["b"])],
    [new Date(0)],
    [new Date(1)],
    ["\ud800"],
    ["\ud801"]
  ]
  expect(new Set(all.map(Arguments.key)).size).toBe(all.length)
  expect(Arguments.key([{ a: 1, b: undefined }, "x"])).toBe(JSON.stringify([{ a: 1 }, "x"]))
})

class Hidden {
  readonly #secret = 7
  get secret() {
    return this.#secret
  }
}

test("arguments that show nothing to tell them apart by are a mistake of the program", () => {
  for (const argument of [() => 1, Symbol("a"), Redacted.make("a"), /a/, new Hidden(), { a: Redacted.make("a") }])
    expect(() => Arguments.key([argument])).toThrow(TypeError)
})
