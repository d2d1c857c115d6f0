import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as TestClock from "effect/TestClock"
import { DatabaseUnavailable } from "../../src/errors.ts"
import { sweepMax } from "../../src/session/SessionRows.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import * as Sweeper from "../../src/session/Sweeper.ts"
import { it } from "../kit/effect.ts"

it("sweeps every few minutes, again at once while there is more, and goes on after a failure", () => {
  const outcomes = [
    Effect.succeed({ expired: sweepMax, deleted: 0 }),
    Effect.succeed({ expired: 1, deleted: 0 }),
    new DatabaseUnavailable({ cause: "gone" })
  ]
  let sweeps = 0
  const sessions = Layer.succeed(Sessions, {
    sweep: Effect.suspend(() => outcomes[sweeps++] ?? Effect.succeed({ expired: 0, deleted: 0 }))
  } as typeof Sessions.Service)
  return Effect.gen(function* () {
    yield* TestClock.adjust(Sweeper.sweepEvery)
    expect(sweeps).toBe(2)
    yield* TestClock.adjust(Sweeper.sweepEvery)
    expect(sweeps).toBe(3)
    yield* TestClock.adjust("10 minutes")
    expect(sweeps).toBeGreaterThan(3)
  }).pipe(Effect.provide(Sweeper.layer.pipe(Layer.provide(sessions))), Logger.withMinimumLogLevel(LogLevel.None))
})
