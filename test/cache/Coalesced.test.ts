import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Coalesced from "../../src/cache/Coalesced.ts"
import { it } from "../kit/effect.ts"

it("whoever asks while it runs shares the one run after it, and nobody runs beside another", () =>
  Effect.gen(function* () {
    let begun = 0
    let inside = 0
    let most = 0
    const gate = yield* Deferred.make<void>()
    const work = Coalesced.make(
      Effect.gen(function* () {
        begun++
        most = Math.max(most, ++inside)
        yield* Deferred.await(gate)
        inside--
      })
    )
    const first = yield* Effect.fork(work)
    yield* Effect.yieldNow()
    const others = yield* Effect.all(Array.from({ length: 100 }, () => Effect.fork(work)))
    yield* Effect.yieldNow()
    expect(begun).toBe(1)
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(first)
    yield* Fiber.joinAll(others)
    expect([begun, most]).toEqual([2, 1])
    yield* work
    expect(begun).toBe(3)
  }))

it("whoever waits may go away, and a run that fails lets the next begin", () =>
  Effect.gen(function* () {
    let begun = 0
    const gate = yield* Deferred.make<void>()
    const work = Coalesced.make(
      Effect.suspend(() => (++begun === 1 ? Effect.zipRight(Deferred.await(gate), Effect.die("broken")) : Effect.void))
    )
    const first = yield* Effect.fork(work)
    yield* Effect.yieldNow()
    const gone = yield* Effect.fork(work)
    const waits = yield* Effect.fork(work)
    yield* Effect.yieldNow()
    yield* Fiber.interrupt(gone)
    expect(begun).toBe(1)
    yield* Deferred.succeed(gate, undefined)
    expect((yield* Fiber.await(first))._tag).toBe("Failure")
    yield* Fiber.join(waits)
    expect(begun).toBe(2)
  }))
