import { expect } from "bun:test"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import fc from "fast-check"
import * as Bulkhead from "../../src/request/Bulkhead.ts"
import { it } from "../kit/effect.ts"

const refusal = Bulkhead.retryAfter("1 second")

/** Starts it and lets it come as far as it can. */
const begun = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.tap(Effect.fork(effect), () => Effect.yieldNow({ priority: 1 }))

it("who waits goes in turn, one too many is refused at once, and a turn is never lost", () =>
  Effect.gen(function* () {
    const bulkhead = Bulkhead.make({ places: Bulkhead.fixed(1), waitingMax: 2, refusal })
    const gate = yield* Deferred.make<void>()
    const order: Array<number> = []
    const fibers = [yield* begun(bulkhead.run(Deferred.await(gate)))]
    for (const n of [1, 2]) fibers.push(yield* begun(bulkhead.run(Effect.sync(() => void order.push(n)))))
    const refused = yield* Effect.flip(bulkhead.run(Effect.void))
    expect([refused._tag, refused.retryAfterMillis]).toEqual(["Overloaded", 1_000])
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.joinAll(fibers)
    expect(order).toEqual([1, 2])
    expect(bulkhead.waiting()).toBe(0)
    expect(yield* bulkhead.run(Effect.succeed("free again"))).toBe("free again")
  }))

it("who is interrupted while waiting gives the turn to the next", () =>
  Effect.gen(function* () {
    const bulkhead = Bulkhead.make({ places: Bulkhead.fixed(1), waitingMax: 5, refusal })
    const gate = yield* Deferred.make<void>()
    const first = yield* begun(bulkhead.run(Deferred.await(gate)))
    const second = yield* begun(bulkhead.run(Effect.void))
    const third = yield* begun(bulkhead.run(Effect.succeed("third")))
    yield* Fiber.interrupt(second)
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(first)
    expect(yield* Fiber.join(third)).toBe("third")
    expect(bulkhead.waiting()).toBe(0)
  }))

it("an earlier lane goes first, and where no room is left it takes that of the last one", () =>
  Effect.gen(function* () {
    const bulkhead = Bulkhead.make({ places: Bulkhead.fixed(1), lanes: 2, waitingMax: 2, refusal })
    const gate = yield* Deferred.make<void>()
    const order: Array<string> = []
    const say = (text: string) => Effect.sync(() => void order.push(text))
    yield* begun(bulkhead.run(Deferred.await(gate), 1))
    const oldest = yield* begun(bulkhead.run(say("late lane, first"), 1))
    const younger = yield* begun(bulkhead.run(say("late lane, second"), 1))
    const important = yield* begun(bulkhead.run(say("early lane"), 0))
    expect((yield* Effect.flip(Fiber.join(oldest)))._tag).toBe("Overloaded")
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.joinAll([younger, important])
    expect(order).toEqual(["early lane", "late lane, second"])
  }))

it("nobody waits longer than patience lasts, and that is short while the queue stands", () =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const patience = { now: () => clock.unsafeCurrentTimeMillis(), burstMillis: 50, standingMillis: 10 }
    const bulkhead = Bulkhead.make({ places: Bulkhead.fixed(1), waitingMax: 100, refusal, patience })
    yield* begun(bulkhead.run(Effect.never))
    const waits: Array<number> = []
    const come = Effect.gen(function* () {
      const since = yield* Clock.currentTimeMillis
      const outcome = yield* Effect.either(bulkhead.run(Effect.void))
      expect(Either.isLeft(outcome)).toBe(true)
      waits.push((yield* Clock.currentTimeMillis) - since)
    })
    for (let millis = 0; millis < 100; millis++) {
      yield* begun(come)
      yield* TestClock.adjust("1 millis")
      bulkhead.sweep()
      yield* Effect.yieldNow({ priority: 1 })
    }
    expect(waits[0]).toBe(51)
    expect(Math.max(...waits)).toBe(51)
    expect(waits.at(-1)).toBe(11)
  }))

it("a queue that was empty for a moment only still stands, and one that was empty for longer does not", () =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const patience = { now: () => clock.unsafeCurrentTimeMillis(), burstMillis: 50, standingMillis: 10 }
    const bulkhead = Bulkhead.make({ places: Bulkhead.fixed(1), waitingMax: 100, refusal, patience })
    yield* begun(bulkhead.run(Effect.never))
    for (let millis = 0; millis < 60; millis += 20) {
      const waiter = yield* begun(bulkhead.run(Effect.void))
      yield* TestClock.adjust("20 millis")
      yield* Fiber.interrupt(waiter)
      expect(bulkhead.waiting()).toBe(0)
    }
    expect(bulkhead.patienceMillis()).toBe(10)
    yield* TestClock.adjust("50 millis")
    expect(bulkhead.patienceMillis()).toBe(50)
  }))

it("who has no fiber takes a free place at once, and overtakes nobody of its lane who waits", () =>
  Effect.gen(function* () {
    const bulkhead = Bulkhead.make({ places: Bulkhead.fixed(2), lanes: 2, waitingMax: 5, refusal })
    expect([bulkhead.enter(0), bulkhead.enter(1), bulkhead.enter(0)]).toEqual([true, true, false])
    const gate = yield* Deferred.make<void>()
    const waiting = yield* begun(bulkhead.run(Deferred.await(gate), 0))
    expect(bulkhead.waiting()).toBe(1)
    // The place goes to who waits for it, and is not to be had in between.
    bulkhead.give(1)
    expect([bulkhead.enter(0), bulkhead.enter(1)]).toEqual([false, false])
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(waiting)
    expect([bulkhead.enter(1), bulkhead.enter(1)]).toEqual([true, false])
  }))

it("places with and without a fiber are the same places, and none is lost", () =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("enter", "give", "run", "end", "interrupt"), { maxLength: 60 }),
        (steps) =>
          Effect.runPromise(
            Effect.gen(function* () {
              let taken = 0
              const places = {
                isFree: () => taken < 3,
                take: () => void taken++,
                give: () => void taken--
              }
              const bulkhead = Bulkhead.make({ places, waitingMax: 4, refusal })
              let entered = 0
              const gates: Array<Deferred.Deferred<void>> = []
              const fibers: Array<Fiber.RuntimeFiber<void, unknown>> = []
              for (const step of steps) {
                if (step === "enter" && bulkhead.enter(0)) entered++
                else if (step === "give" && entered > 0) {
                  entered--
                  bulkhead.give(0)
                } else if (step === "run") {
                  const gate = yield* Deferred.make<void>()
                  gates.push(gate)
                  fibers.push(yield* Effect.fork(bulkhead.run(Deferred.await(gate))))
                } else if (step === "end" && gates.length > 0) yield* Deferred.succeed(gates.shift()!, undefined)
                else if (step === "interrupt" && fibers.length > 0) yield* Fiber.interrupt(fibers.pop()!)
                yield* Effect.yieldNow({ priority: 1 })
                expect(taken).toBeWithin(entered, 4)
                // Nobody waits while there is a place.
                if (bulkhead.waiting() > 0) expect(taken).toBe(3)
              }
              yield* Fiber.interruptAll(fibers)
              expect(taken).toBe(entered)
            })
          )
      ),
      { numRuns: 200 }
    )
  ))

it("a place that is new goes to who waits, not to who comes", () =>
  Effect.gen(function* () {
    let free = 0
    const places = { isFree: () => free > 0, take: () => void free--, give: () => void free++ }
    const bulkhead = Bulkhead.make({ places, waitingMax: 5, refusal })
    const waiting = yield* begun(bulkhead.run(Effect.succeed("first")))
    free = 1
    expect(bulkhead.enter(0)).toBe(false)
    bulkhead.sweep()
    expect(yield* Fiber.join(waiting)).toBe("first")
    expect(bulkhead.enter(0)).toBe(true)
  }))
