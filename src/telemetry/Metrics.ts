import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"

/**
 * The catalogue of metrics: every metric of the application is declared here, once, with its help text.
 * Names: `connect_<subsystem>_<what>_<unit>`, `_total` for counters, seconds and bytes. Labels are bounded sets, never ids.
 */

/** Latency from 0.5 ms to 10 s. */
const seconds = MetricBoundaries.fromIterable([
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10
])

const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })
const gauge = (name: string, description: string) => Metric.gauge(name, { description })
const histogram = (name: string, description: string) => Metric.histogram(name, seconds, description)

/** Labels: `operation` (GraphQL operation type), `code` (ok or the error's code). */
export const requests = counter("connect_requests_total", "GraphQL operations answered, by operation type and outcome.")
export const requestSeconds = histogram("connect_request_duration_seconds", "Time to answer a GraphQL operation.")
export const queries = counter("connect_database_queries_total", "SQL statements run, by outcome.")
export const querySeconds = histogram("connect_database_query_duration_seconds", "Time of one SQL statement.")
export const slowQueries = counter("connect_database_slow_queries_total", "SQL statements above the slow threshold.")
export const poolInUse = gauge("connect_database_pool_in_use", "Connections of the pool that are running a statement.")
