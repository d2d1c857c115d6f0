import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as MemoryPressure from "../../src/actor/MemoryPressure.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Process } from "../../src/telemetry/Process.ts"
import { it } from "../kit/effect.ts"

/** A process whose memory a test sets, in percent of its limit, and the shares of actors that were put away. */
const world = (memoryLimit: Option.Option<number> = Option.none()) => {
  const shed: Array<number> = []
  const memory = { percent: 50 }
  const sample = Effect.sync(() => ({
    cpuSeconds: 0,
    residentBytes: memory.percent,
    heapUsedBytes: 0,
    memoryBytesMax: 100,
    uptimeSeconds: 0
  }))
  const system = Layer.effect(
    ActorSystem.ActorSystem,
    Effect.map(ActorSystem.make(), (real) => ({
      ...real,
      shed: (share) => Effect.sync(() => shed.push(share))
    }))
  )
  const layer = MemoryPressure.layer.pipe(
    Layer.provide(Layer.succeed(Process, { runtime: "bun", sample, collect: Effect.void })),
    Layer.provide(
      Layer.merge(
        system,
        Settings.layerTest((settings) => ({ ...settings, memoryLimit }))
      )
    )
  )
  const at = (percent: number) =>
    Effect.zipRight(
      Effect.sync(() => (memory.percent = percent)),
      TestClock.adjust(MemoryPressure.lookEvery)
    )
  return { at, layer, shed }
}

it("puts away more and more while the memory stays high, and begins anew when it was low", () => {
  const { at, layer, shed } = world()
  return Effect.gen(function* () {
    for (const percent of [79, 80, 85, 75, 90]) yield* at(percent)
    expect(shed).toEqual([0.1, 0.25, 0.5])
    for (const percent of [69, 80]) yield* at(percent)
    expect(shed).toEqual([0.1, 0.25, 0.5, 0.1])
  }).pipe(Effect.provide(layer))
})

it("rests when putting everything away has not helped", () => {
  const { at, layer, shed } = world()
  return Effect.gen(function* () {
    for (let look = 0; look < 4; look++) yield* at(95)
    yield* TestClock.adjust(MemoryPressure.restAfter)
    expect(shed).toEqual([0.1, 0.25, 0.5, 1])
    yield* at(95)
    expect(shed).toEqual([0.1, 0.25, 0.5, 1, 0.1])
  }).pipe(Effect.provide(layer))
})

it("takes the limit that is set, and does nothing with none", () => {
  const [small, off] = [world(Option.some(40)), world(Option.some(0))]
  return Effect.gen(function* () {
    yield* Effect.provide(small.at(36), small.layer)
    yield* Effect.provide(off.at(99), off.layer)
    expect([small.shed, off.shed]).toEqual([[0.1], []])
  })
})
