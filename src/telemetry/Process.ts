import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Supervised from "../actor/Supervised.ts"
import * as Metrics from "./Metrics.ts"

/** What the process uses. Times are seconds, sizes bytes. */
export interface Sample {
  /** User and system time since the process started, of all its threads. */
  readonly cpuSeconds: number
  readonly residentBytes: number
  readonly heapUsedBytes: number
  /** The memory it may use: its cgroup's limit, or the machine's. */
  readonly memoryBytesMax: number
  readonly uptimeSeconds: number
}

/** This process, as its runtime reports it. */
export class Process extends Context.Tag("@connect/Process")<
  Process,
  {
    readonly runtime: "bun" | "node" | "deno"
    readonly sample: Effect.Effect<Sample>
    /** Gives back memory that nothing uses any longer. Nothing else runs meanwhile; without effect on some runtimes. */
    readonly collect: Effect.Effect<void>
  }
>() {}

/** The event loop's delay is measured twice a second, everything else at each tenth of those. */
const tick = Duration.millis(500)
const ticksPerSample = 10

/** Keeps the `process_…` metrics up to date for as long as it lives. */
export const sampler: Layer.Layer<never, never, Process> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const { sample } = yield* Process
    let before = { cpuSeconds: 0, uptimeSeconds: 0 }

    const record = Effect.map(sample, (now) => {
      Metrics.cpuSeconds.unsafeUpdate(Math.max(0, now.cpuSeconds - before.cpuSeconds), [])
      const elapsed = now.uptimeSeconds - before.uptimeSeconds
      if (elapsed > 0) Metrics.cpuRatio.unsafeUpdate((now.cpuSeconds - before.cpuSeconds) / elapsed, [])
      Metrics.residentBytes.unsafeUpdate(now.residentBytes, [])
      Metrics.heapUsedBytes.unsafeUpdate(now.heapUsedBytes, [])
      Metrics.memoryBytesMax.unsafeUpdate(now.memoryBytesMax, [])
      Metrics.uptimeSeconds.unsafeUpdate(now.uptimeSeconds, [])
      before = now
    })

    const delay = Effect.gen(function* () {
      const start = yield* Clock.currentTimeNanos
      yield* Effect.sleep(tick)
      const late = Number((yield* Clock.currentTimeNanos) - start) / 1e9 - Duration.toSeconds(tick)
      yield* Metric.update(Metrics.eventLoopSeconds, Math.max(0, late))
    })

    yield* Supervised.fork({
      name: "process sampler",
      effect: Effect.forever(Effect.zipRight(record, Effect.repeatN(delay, ticksPerSample - 1))),
      restart: { intensity: 5, window: "1 minute", backoff: { initial: "1 second", max: "10 seconds" } }
    })
  })
)
