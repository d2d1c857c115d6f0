import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as Supervised from "../../src/actor/Supervised.ts"
import * as Collector from "../../src/telemetry/Collector.ts"
import { Process } from "../../src/telemetry/Process.ts"
import { it } from "../kit/effect.ts"

/** A process with 100 bytes in use, whose garbage and work the test sets. Its time is that of the test's clock. */
const inProcess = (claims: (state: { garbage: number; share: number; collections: number }) => Effect.Effect<void>) => {
  const state = { garbage: 0, share: 0, collections: 0 }
  let cpuSeconds = 0
  let uptimeSeconds = 0
  const process = Layer.succeed(Process, {
    runtime: "bun",
    sample: Effect.sync(() => {
      uptimeSeconds += 5
      cpuSeconds += 5 * state.share
      return { cpuSeconds, uptimeSeconds, residentBytes: 100 + state.garbage, heapUsedBytes: 0, memoryBytesMax: 1_000 }
    }),
    collect: Effect.sync(() => {
      state.collections++
      state.garbage = 0
    })
  })
  return claims(state).pipe(
    Effect.provide(Collector.layer.pipe(Layer.provide(process), Layer.provide(Supervised.Registry.layer)))
  )
}

it("what a burst leaves behind is collected once the process is at rest", () =>
  inProcess((state) =>
    Effect.gen(function* () {
      state.garbage = 100
      state.share = 0.8
      yield* TestClock.adjust("1 minute")
      expect(state.collections).toBe(0)
      state.share = 0.1
      yield* TestClock.adjust(Collector.lookEvery)
      expect(state.collections).toBe(1)
    })
  ))

it("a process that holds what it held is left alone", () =>
  inProcess((state) =>
    Effect.gen(function* () {
      state.garbage = 10
      yield* TestClock.adjust("10 minutes")
      expect(state.collections).toBe(0)
    })
  ))

it("however often it grows, it is collected once a minute at most", () =>
  inProcess((state) =>
    Effect.gen(function* () {
      for (let seconds = 0; seconds < 600; seconds++) {
        state.garbage = 100
        yield* TestClock.adjust("1 second")
      }
      expect(state.collections).toBeGreaterThan(5)
      expect(state.collections).toBeLessThanOrEqual(10)
    })
  ))
