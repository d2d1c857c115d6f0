import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Cached from "../../src/cache/Cached.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Conflict } from "../../src/errors.ts"
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
