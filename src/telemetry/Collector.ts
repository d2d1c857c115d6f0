import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Supervised from "../actor/Supervised.ts"
import * as Metrics from "./Metrics.ts"
import { Process, type Sample } from "./Process.ts"

/** Between two looks at the process. */
export const lookEvery = "5 seconds"

/** A process is at rest that used no more of one processor than this since the look before. */
export const restShare = 0.25

/** It has grown enough to be worth a pause when it holds this many times what it held after the last collection. */
export const growthFactor = 1.2

/** At most one collection in this time, however the memory goes up and down. */
export const pauseAfter = "1 minute"

/**
 * Has the engine collect when a burst is over. Engines collect little by little while they work and hardly at all at rest, so
 * a process that thousands have come to would keep the garbage of their coming for as long as they wait.
 */
export const layer: Layer.Layer<never, never, Process> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const process = yield* Process
    let before: Sample = yield* process.sample
    let heldBytes = before.residentBytes

    const look = Effect.gen(function* () {
      yield* Effect.sleep(lookEvery)
      const now = yield* process.sample
      const share = (now.cpuSeconds - before.cpuSeconds) / (now.uptimeSeconds - before.uptimeSeconds)
      before = now
      heldBytes = Math.min(heldBytes, now.residentBytes)
      if (share > restShare || now.residentBytes < heldBytes * growthFactor) return
      const begun = yield* Clock.currentTimeNanos
      yield* process.collect
      Metrics.collectionSeconds.unsafeUpdate(Number((yield* Clock.currentTimeNanos) - begun) / 1e9, [])
      heldBytes = (yield* process.sample).residentBytes
      yield* Effect.sleep(pauseAfter)
      before = yield* process.sample
    })
    yield* Supervised.fork({ name: "collector", effect: Effect.forever(look) })
  })
)
