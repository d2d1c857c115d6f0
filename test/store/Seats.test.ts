import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { Seats } from "../../src/store/Seats.ts"
import { it } from "../kit/effect.ts"

const waiting = (effect: Effect.Effect<number>) => Effect.tap(Effect.fork(effect), Effect.yieldNow())

it("a seat is free for the next caller once its own was answered, and not before", () =>
  Effect.gen(function* () {
    const seats = new Seats<number, never>()
    const [first, second] = [seats.take(), seats.take()]
    expect(second).not.toBe(first)
    const one = yield* waiting(first.wait)
    first.answer(Exit.succeed(1))
    const third = seats.take()
    expect(third).toBe(first)
    const three = yield* waiting(third.wait)
    third.answer(Exit.succeed(3))
    expect([yield* Fiber.join(one), yield* Fiber.join(three)]).toEqual([1, 3])
  }))

it("an answer that comes before the caller waits is kept for it", () =>
  Effect.gen(function* () {
    const seats = new Seats<number, never>()
    const seat = seats.take()
    seat.answer(Exit.succeed(1))
    expect(seats.take()).not.toBe(seat)
    expect(yield* seat.wait).toBe(1)
    const again = seats.take()
    expect(again).toBe(seat)
    const next = yield* waiting(again.wait)
    again.answer(Exit.succeed(2))
    expect(yield* Fiber.join(next)).toBe(2)
  }))

it("a caller that is interrupted leaves its seat as it was for the next", () =>
  Effect.gen(function* () {
    const seats = new Seats<number, never>()
    const seat = seats.take()
    const gone = yield* waiting(seat.wait)
    yield* Fiber.interrupt(gone)
    seat.answer(Exit.succeed(1))
    expect(seats.take()).toBe(seat)
    const next = yield* waiting(seat.wait)
    seat.answer(Exit.succeed(2))
    expect(yield* Fiber.join(next)).toBe(2)
  }))
