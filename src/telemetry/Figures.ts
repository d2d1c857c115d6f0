import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as MetricPair from "effect/MetricPair"
import * as MetricState from "effect/MetricState"

/** What a histogram has counted: `buckets` are upper bounds with how many values were at most that. */
export interface Distribution {
  readonly buckets: ReadonlyArray<readonly [bound: number, count: number]>
  readonly count: number
  readonly sum: number
}

/** The metrics at one moment, each summed over its labels. A metric nobody has touched is 0, or empty. */
export interface Reading {
  readonly total: (name: string) => number
  readonly distribution: (name: string) => Distribution
  /** The sum of the series whose `label` has a value that `accept` takes. */
  readonly totalWhere: (name: string, label: string, accept: (value: string) => boolean) => number
}

const empty: Distribution = { buckets: [], count: 0, sum: 0 }

/** Reads the registry. */
export const read: Effect.Effect<Reading> = Effect.map(Metric.snapshot, (pairs) => reading(pairs))

/** The reading of these pairs. */
export const reading = (pairs: Iterable<MetricPair.MetricPair.Untyped>): Reading => {
  const byName = new Map<string, Array<MetricPair.MetricPair.Untyped>>()
  for (const pair of pairs) {
    const family = byName.get(pair.metricKey.name)
    if (family === undefined) byName.set(pair.metricKey.name, [pair])
    else family.push(pair)
  }
  const sum = (family: ReadonlyArray<MetricPair.MetricPair.Untyped>) =>
    family.reduce((total, { metricState }) => total + valueOf(metricState), 0)
  return {
    total: (name) => sum(byName.get(name) ?? []),
    totalWhere: (name, label, accept) =>
      sum(
        (byName.get(name) ?? []).filter(({ metricKey }) =>
          metricKey.tags.some((tag) => tag.key === label && accept(tag.value))
        )
      ),
    distribution: (name) =>
      (byName.get(name) ?? []).reduce(
        (all, { metricState }) =>
          MetricState.isHistogramState(metricState) ? combine(all, metricState, (a, b) => a + b) : all,
        empty
      )
  }
}

const valueOf = (state: MetricState.MetricState.Untyped): number =>
  MetricState.isCounterState(state) ? Number(state.count) : MetricState.isGaugeState(state) ? Number(state.value) : 0

const combine = (a: Distribution, b: Distribution, f: (a: number, b: number) => number): Distribution => ({
  buckets: (a.buckets.length === 0 ? b : a).buckets.map(
    ([bound], index) => [bound, f(a.buckets[index]?.[1] ?? 0, b.buckets[index]?.[1] ?? 0)] as const
  ),
  count: f(a.count, b.count),
  sum: f(a.sum, b.sum)
})

/** What was added from `before` to `now`. */
export const since = (now: Distribution, before: Distribution): Distribution => combine(now, before, (a, b) => a - b)

/**
 * The value below which that share lies, interpolated inside its bucket as Prometheus does. NaN when nothing was
 * counted; the highest finite bound when it lies beyond.
 */
export const quantile = ({ buckets, count }: Distribution, share: number): number => {
  if (count === 0) return NaN
  const rank = share * count
  const at = buckets.findIndex(([, cumulated]) => cumulated >= rank)
  const [bound, cumulated] = buckets[at]!
  const [lower, below] = at === 0 ? [0, 0] : buckets[at - 1]!
  if (bound === Infinity) return lower
  return cumulated === below ? bound : lower + (bound - lower) * ((rank - below) / (cumulated - below))
}

/** Hits over reads between the two readings, 0 to 1; NaN when nothing was read. */
export const hitRate = (now: Reading, before: Reading): number => {
  const hits = now.total("connect_cache_hits_total") - before.total("connect_cache_hits_total")
  return hits / (hits + now.total("connect_cache_misses_total") - before.total("connect_cache_misses_total"))
}

/** The reading of an empty registry. */
export const none: Reading = reading([])

/** The share of the database pool in use, 0 to 1; NaN before the pool is known. */
export const poolUse = (now: Reading): number =>
  now.total("connect_database_pool_max") === 0
    ? NaN
    : now.total("connect_database_pool_in_use") / now.total("connect_database_pool_max")

/** The figures shown in /health, since the process started. Only what is known: no NaN. */
export const summary = (now: Reading): Readonly<Record<string, number>> => {
  const latency = now.distribution("connect_request_duration_seconds")
  const queries = now.distribution("connect_database_query_duration_seconds")
  const all = {
    uptimeSeconds: now.total("process_uptime_seconds"),
    requests: now.total("connect_requests_total"),
    requestErrors: now.total("connect_request_errors_total"),
    requestP50Millis: quantile(latency, 0.5) * 1_000,
    requestP95Millis: quantile(latency, 0.95) * 1_000,
    requestP99Millis: quantile(latency, 0.99) * 1_000,
    cacheHitRate: hitRate(now, none),
    databaseQueries: now.total("connect_database_queries_total"),
    databaseMeanMillis: (queries.sum / queries.count) * 1_000,
    databasePoolUse: poolUse(now),
    sessionsActive: now.total("connect_session_active"),
    queueWaiting: now.total("connect_queue_waiting"),
    interactionsActive: now.total("connect_interaction_active"),
    socketsOpen: now.total("connect_socket_open"),
    residentBytes: now.total("process_resident_memory_bytes"),
    heapUsedBytes: now.total("process_heap_used_bytes"),
    cpuUtilization: now.total("process_cpu_utilization_ratio"),
    eventLoopP99Millis: quantile(now.distribution("process_event_loop_delay_seconds"), 0.99) * 1_000
  }
  return Object.fromEntries(
    Object.entries(all)
      .filter(([, value]) => Number.isFinite(value))
      .map(([name, value]) => [name, Math.round(value * 1_000) / 1_000])
  )
}
