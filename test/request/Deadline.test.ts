import { expect, test } from "bun:test"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as TestClock from "effect/TestClock"
import { BadRequest } from "../../src/errors.ts"
import * as Deadline from "../../src/request/Deadline.ts"
import type { Incoming } from "../../src/request/Incoming.ts"
import { it } from "../kit/effect.ts"

const timeoutOf = (given?: string) =>
  Deadline.timeoutOf(
    { header: (name: string) => (name === "connect-timeout-ms" ? given : undefined) } as unknown as Incoming,
    Duration.seconds(30)
  )

test("a client may give less time than everybody has, and never more", () => {
  expect(timeoutOf()).toBeUndefined()
  expect(timeoutOf("250")).toBe(250)
  expect(timeoutOf("30000")).toBeUndefined()
  expect(timeoutOf("9999999999")).toBeUndefined()
})

test("a time that is none is told to be wrong", () => {
  for (const given of ["", "0", "-1", "1.5", "1e3", "250ms", "12345678901", "NaN"])
    expect(timeoutOf(given)).toBeInstanceOf(BadRequest)
})

it("what is not done in time is interrupted and ends with the typed error", () =>
  Effect.gen(function* () {
    let interrupted = false
    const work = Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (interrupted = true)))
    const fiber = yield* Effect.fork(Effect.flip(Deadline.within(work, 250)))
    yield* TestClock.adjust("249 millis")
    expect(interrupted).toBe(false)
    yield* TestClock.adjust("1 millis")
    expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "DeadlineExceeded", timeoutMillis: 250 })
    expect(interrupted).toBe(true)
  }))

it("a deadline holds for the fiber that it is set in, unless an earlier one does, and not for what it forks", () =>
  Effect.gen(function* () {
    const current = FiberRef.get(Deadline.current)
    const all = Effect.all([current, Deadline.locally(current, 50), Effect.flatMap(Effect.fork(current), Fiber.join)])
    expect(yield* Deadline.locally(all, 100)).toEqual([100, 50, Infinity])
  }))
