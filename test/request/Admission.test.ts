import { expect } from "bun:test"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Metric from "effect/Metric"
import * as TestClock from "effect/TestClock"
import type { Priority } from "../../src/graphql/Priority.ts"
import * as Admission from "../../src/request/Admission.ts"
import { reserve, samplesMin, turnMillis } from "../../src/request/Limit.ts"
import * as Yielding from "../../src/request/Yielding.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
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

/** All places are taken for good, and a turn has shown that nobody but the vital class finds one. */
const standing = (admission: Admission.Admission) =>
  Effect.gen(function* () {
    yield* filled(admission)
    for (const operation of operations) admission.refusal(operation.priority)
    yield* Effect.replicateEffect(admission.run(vital, Effect.void), samplesMin)
    yield* TestClock.adjust(turnMillis + Admission.watchMillis)
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

it("a burst that the idle process can serve in time is let in, in its turn", () =>
  Effect.gen(function* () {
    const admission = yield* Admission.make(overload)
    const burst = 8 * overload.placesMax
    const serve = Effect.suspend(
      () => admission.refusal(send.priority) ?? admission.run(send, Effect.sleep("5 millis"))
    )
    const running = yield* Effect.replicateEffect(Effect.fork(serve), burst)
    yield* TestClock.adjust("50 millis")
    expect((yield* Fiber.awaitAll(running)).filter(({ _tag }) => _tag === "Failure")).toEqual([])
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
    yield* standing(admission)
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
    yield* standing(admission)
    yield* Effect.fork(admission.run(bulk, Effect.void))
    yield* settle
    const refusals = () =>
      Array.from({ length: 50 }, () => admission.refusal(undefined)).filter((one) => one !== undefined)
    expect(refusals()).toHaveLength(50 - Admission.learnedPerSecond)
    expect(refusals()).toHaveLength(50)
  }).pipe(Effect.scoped))

/** The watch is late by so much when its clock goes on and it does not run. */
const lateWatch = Effect.gen(function* () {
  const by = { late: 0 }
  const clock = yield* Effect.clock
  const slow = Object.assign(Object.create(clock) as Clock.Clock, {
    unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + by.late
  })
  return { by, admission: yield* Effect.withClock(Admission.make(overload), slow) }
})

it("an event loop that comes round late sheds the lowest class first, with all places free", () =>
  Effect.gen(function* () {
    const { admission, by } = yield* lateWatch
    const shed = () => operations.filter(({ priority }) => admission.refusal(priority) !== undefined).length
    const seen = [0, 30, 60, 90, 500].map((millis) => {
      by.late = millis + Admission.watchMillis
      return shed()
    })
    expect(seen).toEqual([0, 1, 2, 2, 3])
  }).pipe(Effect.scoped))

it("who is let in without a fiber has a place until it says that it has ended", () =>
  Effect.gen(function* () {
    const admission = yield* Admission.make(overload)
    const ends = Array.from({ length: overload.placesMax }, () => admission.enter(send))
    expect(ends.every((end) => end !== undefined)).toBe(true)
    expect(admission.enter(send)).toBeUndefined()
    expect(admission.figures()).toEqual({ places: 8, inUse: 8, waiting: 0 })
    // The vital class has places of its own.
    const vitals = Array.from({ length: reserve + 1 }, () => admission.enter(vital))
    expect(vitals.filter((end) => end === undefined)).toHaveLength(1)
    const waiting = yield* Effect.fork(admission.run(read, Effect.succeed("its turn")))
    yield* settle
    expect(admission.figures().waiting).toBe(1)
    for (const end of [...vitals, ...ends]) end?.()
    expect(yield* Fiber.join(waiting)).toBe("its turn")
    expect(admission.figures()).toEqual({ places: 8, inUse: 0, waiting: 0 })
  }).pipe(Effect.scoped))

it("bulk is let in to half of the places without a fiber too", () =>
  Effect.gen(function* () {
    const admission = yield* Admission.make(overload)
    const ends = Array.from({ length: overload.placesMax }, () => admission.enter(bulk))
    expect(ends.filter((end) => end !== undefined)).toHaveLength(overload.placesMax / 2)
    expect(admission.enter(read)).toBeDefined()
  }).pipe(Effect.scoped))

/** The places after ten turns in which each operation loses so much to the others. */
const placesAfter = (millis: number, ask: (admission: Admission.Admission) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const admission = yield* Admission.make(overload)
    // Its best time, by which the others are judged.
    yield* ask(admission)
    for (let turn = 0; turn < 10; turn++) {
      const asked = yield* Effect.fork(Effect.replicateEffect(ask(admission), samplesMin))
      yield* settle
      yield* TestClock.adjust(`${millis * samplesMin} millis`)
      yield* Fiber.interrupt(asked)
    }
    return admission.figures().places
  }).pipe(Effect.scoped)

it("what runs without a fiber is measured as what has one: the places become fewer while operations are delayed", () =>
  Effect.gen(function* () {
    let delay = 0
    const work = Effect.suspend(() => Effect.sleep(delay))
    const withFiber = (admission: Admission.Admission) => Effect.ignore(admission.run(read, work))
    const without = (admission: Admission.Admission) =>
      Effect.suspend(() => {
        const end = admission.enter(read)
        return Effect.zipRight(
          work,
          Effect.sync(() => end?.())
        )
      })
    for (const ask of [withFiber, without]) {
      delay = 0
      const warm = (admission: Admission.Admission) =>
        Effect.zipLeft(
          ask(admission),
          Effect.sync(() => (delay = 60))
        )
      expect(yield* placesAfter(60, warm)).toBe(overload.placesMin)
    }
  }))

it("who was refused after waiting is counted by class", () =>
  Effect.gen(function* () {
    const waited = Effect.map(
      Metric.value(Metrics.series(Metrics.requestsShed, "read", "waited")),
      (state) => (state as { readonly count: number }).count
    )
    const before = yield* waited
    const admission = yield* Admission.make(overload)
    yield* filled(admission)
    const waiting = yield* Effect.fork(Effect.either(admission.run(read, Effect.void)))
    yield* settle
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(waiting)
    expect((yield* waited) - before).toBe(1)
  }).pipe(Effect.scoped))

it("reads and bulk let others go first at what is short", () =>
  Effect.gen(function* () {
    const admission = yield* Admission.make(overload)
    const yields = yield* Effect.forEach(operations, (one) => admission.run(one, FiberRef.get(Yielding.current)))
    expect(yields).toEqual([false, false, true, true])
  }).pipe(Effect.scoped))

it("unknown documents are looked at again after a while", () =>
  Effect.gen(function* () {
    const admission = yield* Admission.make(overload)
    yield* standing(admission)
    const learned = Effect.gen(function* () {
      yield* Effect.fork(Effect.ignore(admission.run(bulk, Effect.void)))
      yield* settle
      return Array.from({ length: 50 }, () => admission.refusal(undefined)).filter((one) => one === undefined).length
    })
    expect(yield* learned).toBe(Admission.learnedPerSecond)
    yield* TestClock.adjust("500 millis")
    expect(yield* learned).toBe(Admission.learnedPerSecond / 2)
  }).pipe(Effect.scoped))

it("the places become fewer and work is put off while the event loop is late, though nothing takes long", () =>
  Effect.gen(function* () {
    const { admission, by } = yield* lateWatch
    expect(admission.isBusy()).toBe(false)
    for (let turn = 0; turn < 50; turn++) {
      by.late += 60
      expect(admission.isBusy()).toBe(true)
      for (let n = 0; n < samplesMin; n++) admission.enter(read)?.()
      yield* TestClock.adjust(Admission.watchMillis)
    }
    expect(admission.figures().places).toBe(overload.placesMin)
  }).pipe(Effect.scoped))
