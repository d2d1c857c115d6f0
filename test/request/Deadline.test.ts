import { expect, test } from "bun:test"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
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

it("what is not done in time ends with the typed error, and has known its deadline", () =>
  Effect.gen(function* () {
    let known = 0
    const work = Effect.zipRight(
      Effect.withFiberRuntime<void>((fiber) => Effect.sync(() => void (known = fiber.getFiberRef(Deadline.current)))),
      Effect.never
    )
    const fiber = yield* Effect.fork(Effect.flip(Deadline.within(work, 250)))
    yield* TestClock.adjust("250 millis")
    expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "DeadlineExceeded", timeoutMillis: 250 })
    expect(known).toBe(250)
  }))
