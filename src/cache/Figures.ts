import * as Metrics from "../telemetry/Metrics.ts"
import type { Stats } from "./Options.ts"

const noLabels: ReadonlyArray<never> = []

/** Near hits counted here before the metric hears of them: adding to it costs more than the hit. A power of two. */
const nearHitsBatch = 256

export type Count = (what: "storeHits" | "misses" | "stale" | "evictions" | "lost", by?: number) => void

/** The series of one cache, and the same figures since start for its own `stats`. */
export const figures = (name: string, entries: () => number) => {
  let nearHits = 0
  let told = 0
  const counts = { storeHits: 0, misses: 0, stale: 0, evictions: 0, lost: 0 }
  const hits = Metrics.series(Metrics.cacheHits, name, "near")
  const series = {
    storeHits: Metrics.series(Metrics.cacheHits, name, "store"),
    misses: Metrics.series(Metrics.cacheMisses, name),
    stale: Metrics.series(Metrics.cacheStale, name),
    evictions: Metrics.series(Metrics.cacheEvictions, name),
    lost: Metrics.series(Metrics.cacheLost, name)
  }
  const failures = Metrics.series(Metrics.cacheFailures, name)
  const seconds = Metrics.series(Metrics.cacheSeconds, name)
  const bytes = Metrics.series(Metrics.cacheValueBytes, name)
  const size = Metrics.series(Metrics.cacheEntries, name)
  const tell = (): void => {
    if (nearHits > told) hits.unsafeUpdate(nearHits - told, noLabels)
    told = nearHits
    size.unsafeUpdate(entries(), noLabels)
  }
  const count: Count = (what, by = 1) => {
    counts[what] += by
    series[what].unsafeUpdate(by, noLabels)
  }
  return {
    count,
    nearHit: (): void => {
      if ((++nearHits & (nearHitsBatch - 1)) === 0) tell()
    },
    failed: () => failures.unsafeUpdate(1, noLabels),
    /** One read that near did not answer. */
    seconds: (millis: number): void => {
      seconds.unsafeUpdate(millis / 1_000, noLabels)
      tell()
    },
    size: (units: number) => bytes.unsafeUpdate(units, noLabels),
    stats: (): Stats => {
      tell()
      return { nearHits, ...counts, nearEntries: entries() }
    }
  }
}
