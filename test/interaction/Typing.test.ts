import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { UserId } from "../../src/domain/Ids.ts"
import * as Typing from "../../src/interaction/Typing.ts"
import { it } from "../kit/effect.ts"

const ada = UserId.make("ada")

const typing = Effect.gen(function* () {
  const shown: Array<boolean> = []
  const { set } = yield* Typing.make((_, typing) => Effect.sync(() => shown.push(typing)))
  const after = (millis: number) => Effect.as(TestClock.adjust(millis), shown)
  return { after, set: (typing: boolean) => set(ada, typing) }
})

it("someone who types is shown at once, and no more when the lease has ended", () =>
  Effect.gen(function* () {
    const { after, set } = yield* typing
    yield* set(true)
    expect(yield* after(0)).toEqual([true])
    expect(yield* after(Typing.leaseMillis - 1)).toEqual([true])
    expect(yield* after(1)).toEqual([true, false])
    expect(yield* after(60_000)).toEqual([true, false])
  }))

it("who goes on typing keeps the lease, without further events", () =>
  Effect.gen(function* () {
    const { after, set } = yield* typing
    for (let n = 0; n < 10; n++) {
      yield* set(true)
      expect(yield* after(3_000)).toEqual([true])
    }
    expect(yield* after(2_000)).toEqual([true, false])
  }))

it("whatever someone does, they are shown at most once in two seconds, and what they did last is shown in the end", () =>
  Effect.gen(function* () {
    const { after, set } = yield* typing
    yield* set(true)
    yield* after(100)
    yield* set(false)
    expect(yield* after(100)).toEqual([true])
    yield* set(true)
    yield* set(false)
    expect(yield* after(1_799)).toEqual([true])
    expect(yield* after(1)).toEqual([true, false])
    yield* set(true)
    yield* set(false)
    expect(yield* after(60_000)).toEqual([true, false])
  }))

it("a stop that nobody saw begin is not shown", () =>
  Effect.gen(function* () {
    const { after, set } = yield* typing
    yield* set(false)
    expect(yield* after(10_000)).toEqual([])
  }))
