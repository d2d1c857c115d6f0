import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Settings } from "../config/Settings.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Process } from "../telemetry/Process.ts"
import { ActorSystem } from "./ActorSystem.ts"
import * as Supervised from "./Supervised.ts"

/** Share of the limit at which idle actors are put away. */
export const highShare = 0.8

/** Share of the limit below which the pressure is over. In between nothing is put away, and nothing is forgotten. */
export const lowShare = 0.7

/** Shares of the idle actors that are put away, one look after the other, while the memory stays high. */
export const steps = [0.1, 0.25, 0.5, 1] as const

/** Time between two looks: the collector needs some to give back what was let go. */
export const lookEvery = "5 seconds"

/** When all steps have not helped, the actors are not what fills the memory: they are left alone for this long. */
export const restAfter = "1 minute"

/**
 * Puts idle actors away, the ones idle for longest first, while the process comes near the memory it may use:
 * `MEMORY_LIMIT`, or what its cgroup or the machine allows.
 */
export const layer: Layer.Layer<never, never, ActorSystem | Process | Settings> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const system = yield* ActorSystem
    const process = yield* Process
    const { memoryLimit } = yield* Settings
    if (Option.contains(memoryLimit, 0)) return

    let next = 0
    const look = Effect.gen(function* () {
      const { memoryBytesMax, residentBytes } = yield* process.sample
      const share = residentBytes / Option.getOrElse(memoryLimit, () => memoryBytesMax)
      if (share < lowShare) next = 0
      if (share < highShare) return
      const put = yield* system.shed(steps[next]!)
      Metrics.actorsShed.unsafeUpdate(put, [])
      yield* Effect.logInfo(`The memory is ${Math.round(share * 100)} % full: ${put} idle actors were put away`)
      next = (next + 1) % steps.length
      if (next === 0) yield* Effect.sleep(restAfter)
    })
    yield* Supervised.fork({
      name: "memory pressure",
      effect: Effect.forever(Effect.zipRight(Effect.sleep(lookEvery), look))
    })
  })
)
