import { expect } from "bun:test"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import type { Priority } from "../../src/graphql/Priority.ts"
import * as Admission from "../../src/request/Admission.ts"
import { it } from "../kit/effect.ts"

const overload = { placesMin: 4, placesMax: 8, delay: Duration.millis(25) }
const operations = ([0, 1, 2, 3] as const).map((priority) => ({ priority }))
const [vital, send, read, bulk] = operations as [
  Admission.Operation,
  ...ReadonlyArray<Admission.Operation>
] as never as [Admission.Operation, Admission.Operation, Admission.Operation, Admission.Operation]

const settle = Effect.yieldNow({ priority: 1 })

/** Takes all places for good. */
const filled = (admission: Admission.Admission) =>
  Effect.gen(function* () {
    const running = yield* Effect.replicateEffect(Effect.fork(admission.run(send, Effect.never)), overload.placesMax)
    yield* settle
    return running
  })

it("while there are places everybody is let in", () =>
  Effect.gen(function* () {
    const admission = yield* Admission.make(overload)
    for (const operation of operations) {
      expect(admission.refusal(operation.priority)).toBeUndefined()
      expect(yield* admission.run(operation, Effect.succeed("done"))).toBe("done")
    }
    expect(admission.isBusy()).toBe(false)
  }).pipe(Effect.scoped))

it("when all places are taken the vital class has its own, and the others wait their time and are refused", () =>
  Effect.gen(function* () {
    const admission = yield* Admission.make(overload)
    yield* filled(admission)
    expect(admission.isBusy()).toBe(true)
    expect(yield* admission.run(vital, Effect.succeed("signed out"))).toBe("signed out")
    const since = yield* Clock.currentTimeMillis
    const waiting = yield* Effect.fork(
      Effect.flatMap(Effect.either(admission.run(read, Effect.void)), (outcome) =>
        Effect.map(Clock.currentTimeMillis, (now) => ({ outcome, waited: now - since }))
      )
    )
    yield* settle
    expect(admission.figures()).toEqual({ places: 8, inUse: 8, waiting: 1 })
    yield* TestClock.adjust("1 second")
    const { outcome, waited } = yield* Fiber.join(waiting)
    expect(waited).toBeLessThanOrEqual(Admission.burstMillis + 2 * Admission.watchMillis)
    const error = Either.getOrThrow(Either.flip(outcome))
    expect(error._tag).toBe("Overloaded")
    expect(error.retryAfterMillis).toBeWithin(Admission.retryMillisMin, Admission.retryMillisMax)
  }).pipe(Effect.scoped))

it("a place goes to the most important of those who wait", () =>
  Effect.gen(function* () {
    const admission = yield* Admission.make(overload)
    const running = yield* filled(admission)
    const order: Array<Priority> = []
    for (const operation of [read, bulk, send]) {
      yield* Effect.fork(
        admission.run(
          operation,
          Effect.sync(() => void order.push(operation.priority))
        )
      )
      yield* settle
    }
    yield* Fiber.interrupt(running[0]!)
    yield* settle
    yield* settle
    expect(order).toEqual([1, 2, 3])
  }).pipe(Effect.scoped))

it("who would come too late is refused at once, each told another time", () =>
  Effect.gen(function* () {
    const admission = yield* Admission.make(overload)
    yield* filled(admission)
    yield* Effect.fork(admission.run(read, Effect.void))
    yield* settle
    const told = new Set(Array.from({ length: 20 }, () => admission.refusal(read.priority)?.retryAfterMillis))
    expect(told.size).toBeGreaterThan(10)
    expect(told.has(undefined)).toBe(false)
    expect(admission.refusal(vital.priority)).toBeUndefined()
  }).pipe(Effect.scoped))

it("a document that nobody knows is of the lowest class, but a few a second may be looked at", () =>
  Effect.gen(function* () {
    const admission = yield* Admission.make(overload)
    yield* filled(admission)
    yield* Effect.fork(admission.run(bulk, Effect.void))
    yield* settle
    const refusals = () =>
      Array.from({ length: 50 }, () => admission.refusal(undefined)).filter((one) => one !== undefined)
    expect(refusals()).toHaveLength(50 - Admission.learnedPerSecond)
    expect(refusals()).toHaveLength(50)
  }).pipe(Effect.scoped))

it("an event loop that comes round late sheds the lowest class first, with all places free", () =>
  Effect.gen(function* () {
    // The watch is late by so much when its clock goes on and it does not run.
    let late = 0
    const clock = yield* Effect.clock
    const slow = Object.assign(Object.create(clock) as Clock.Clock, {
      unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + late
    })
    const admission = yield* Effect.withClock(Admission.make(overload), slow)
    const shed = () => operations.filter(({ priority }) => admission.refusal(priority) !== undefined).length
    const seen = [0, 30, 60, 90, 500].map((millis) => {
      late = millis + Admission.watchMillis
      return shed()
    })
    expect(seen).toEqual([0, 1, 2, 2, 3])
  }).pipe(Effect.scoped))
