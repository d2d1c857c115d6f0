import { expect } from "bun:test"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as Requests from "../../../layers/http/Serving.ts"
import { Overloaded } from "../../../src/errors.ts"
import * as answers from "../../../src/request/answers.ts"
import type { Answer } from "../../../src/request/Incoming.ts"
import { it } from "../../kit/effect.ts"

const refused = answers.failure(new Overloaded({ retryAfterMillis: 2_400 }))

/** Of a handler that refuses everybody. */
const refusing = Requests.requests(
  () => refused,
  Duration.seconds(10),
  () => {}
)

const ask = ({ answer }: Requests.Requests) => answer({} as never, (one) => one) as Answer

it("whoever was refused and told when to come back is waited for, and then told to go", () =>
  Effect.gen(function* () {
    const requests = yield* refusing
    expect(ask(requests)).toBe(refused)
    yield* requests.leave
    const stopping = yield* Effect.fork(requests.finish(() => 0, Duration.seconds(25)))
    yield* TestClock.adjust("3 seconds")
    expect(yield* Fiber.poll(stopping)).toEqual(Option.none())
    expect(ask(requests).headers).toMatchObject({ connection: "close", "retry-after": "3" })
    yield* TestClock.adjust("510 millis")
    yield* Fiber.join(stopping)
  }))

it("nobody is waited for whom nobody told to come back, and nobody for longer than draining may take", () =>
  Effect.gen(function* () {
    const requests = yield* refusing
    yield* requests.leave
    yield* requests.finish(() => 0, Duration.seconds(25))
    const other = yield* refusing
    ask(other)
    yield* other.leave
    const stopping = yield* Effect.fork(other.finish(() => 0, Duration.seconds(1)))
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(stopping)
  }))
