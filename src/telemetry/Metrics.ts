import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricLabel from "effect/MetricLabel"

/**
 * The catalogue of metrics: every metric of the application is declared here, once, with its help text.
 * Names: `connect_<subsystem>_<what>_<unit>`, `_total` for counters, seconds and bytes; what every process has keeps
 * the names Prometheus gives it (`process_…`). Labels are bounded sets, never ids.
 *
 * Without labels a metric is used as it is: `Metric.increment(Metrics.slowQueries)`. With labels, `series` takes their
 * values in the order of the declaration: `Metric.increment(Metrics.series(Metrics.requests, "query", "ok"))`.
 */

/** Series of one metric at most; label values that come later are counted together under `other`. */
export const seriesMax = 200

type Any = Metric.Metric.Counter<number> | Metric.Metric.Gauge<number> | Metric.Metric.Histogram<number>

/** One row of the catalogue. */
export interface Entry {
  readonly name: string
  readonly help: string
  readonly kind: "counter" | "gauge" | "histogram"
  readonly labels: ReadonlyArray<string>
  readonly metric: Any
}

/** A metric that knows its labels. */
export type Labelled<M, Labels extends ReadonlyArray<string>> = M & {
  readonly labels: Labels
  readonly known: Map<string, M>
}

const entries: Array<Entry> = []

/** Every metric declared below, in the order of the declarations. */
export const catalogue: ReadonlyArray<Entry> = entries

const declare = <M extends Any, const Labels extends ReadonlyArray<string>>(
  kind: Entry["kind"],
  name: string,
  help: string,
  labels: Labels,
  metric: M
): Labelled<M, Labels> => {
  entries.push({ name, help, kind, labels, metric })
  return Object.assign(metric, { labels, known: new Map<string, M>() })
}

const counter = <const Labels extends ReadonlyArray<string>>(name: string, help: string, ...labels: Labels) =>
  declare("counter", name, help, labels, Metric.counter(name, { description: help, incremental: true }))

const gauge = <const Labels extends ReadonlyArray<string>>(name: string, help: string, ...labels: Labels) =>
  declare("gauge", name, help, labels, Metric.gauge(name, { description: help }))

const histogramOf =
  (boundaries: ReadonlyArray<number>) =>
  <const Labels extends ReadonlyArray<string>>(name: string, help: string, ...labels: Labels) =>
    declare("histogram", name, help, labels, Metric.histogram(name, MetricBoundaries.fromIterable(boundaries), help))

/**
 * The series of a metric for these label values, in the order of its declaration; the same object each time. An update
 * costs what an unlabelled one does: Effect finds the series by the identity of the labels, with no hashing. Tags of
 * the fiber do not apply.
 */
export const series = <Type, In, Out, Labels extends ReadonlyArray<string>>(
  metric: Labelled<Metric.Metric<Type, In, Out>, Labels>,
  ...values: { readonly [K in keyof Labels]: string }
): Metric.Metric<Type, In, Out> => {
  const key = values.join("\u0000")
  const known = metric.known.get(key)
  if (known !== undefined) return known
  const others = metric.labels.map(() => "other") as unknown as typeof values
  if (metric.known.size >= seriesMax && key !== others.join("\u0000")) return series(metric, ...others)
  const labels = metric.labels.map((label, index) => MetricLabel.make(label, values[index]!))
  const made = Metric.make(
    metric.keyType,
    (input: In) => metric.unsafeUpdate(input, labels),
    () => metric.unsafeValue(labels),
    (input: In) => metric.unsafeModify(input, labels)
  )
  metric.known.set(key, made)
  return made
}

/** Makes every metric without labels visible at zero, so that rates and alerts have a start. */
export const register: Effect.Effect<void> = Effect.sync(() => {
  for (const { labels, metric } of entries) if (labels.length === 0) metric.unsafeValue([])
})

/** Latency from 0.5 ms to 10 s. */
const latency = histogramOf([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10])
/** Waits of people, from 50 ms to 10 min. */
const wait = histogramOf([0.05, 0.1, 0.25, 0.5, 1, 3, 5, 8, 15, 30, 60, 120, 300, 600])
/** Lifetimes, from a minute to 30 days. */
const lifetime = histogramOf([60, 300, 900, 3_600, 14_400, 86_400, 604_800, 2_592_000])
/** Sizes from 256 B to 16 MiB. */
const bytes = histogramOf([256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216])
/** Small numbers of things. */
const amount = histogramOf([0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 100, 250])

// `operation`: query, mutation, subscription. `code`: ok, or the error's code of src/errors.ts.
export const requests = counter("connect_requests_total", "GraphQL operations answered.", "operation", "code")
export const requestSeconds = latency("connect_request_duration_seconds", "Time to answer an operation.", "operation")
export const requestErrors = counter("connect_request_errors_total", "Errors in answers.", "code")
export const requestsInFlight = gauge("connect_request_in_flight", "Operations being answered now.")
export const requestBytes = bytes("connect_request_body_bytes", "Size of request bodies.")
export const requestQueries = amount("connect_request_database_queries", "SQL statements for one operation.")
// `field`: Type.field of the schema.
export const requestRepeated = counter(
  "connect_request_repeated_queries_total",
  "Operations in which a field ran a statement once a row.",
  "field"
)
// `class`: vital, send, read, bulk (src/graphql/Priority.ts). `reason`: full, late (the event loop), waited, draining,
// in_flight.
export const requestsShed = counter("connect_request_shed_total", "Requests refused before work.", "class", "reason")
export const requestPlaces = gauge("connect_request_places", "Operations that may run at once, as measured.")
export const requestsWaiting = gauge("connect_request_waiting", "Operations that wait for a place.")
export const requestsCut = counter("connect_request_cut_total", "Requests cut off as draining took too long.")
export const draining = gauge("connect_request_draining", "1 while the process finishes what it has and stops.")
export const slowRequests = counter("connect_request_slow_total", "Operations above the slow threshold.")
// `status`: 2xx, 3xx, 4xx, 5xx.
export const responses = counter("connect_http_responses_total", "HTTP responses sent.", "route", "status")

// `cache`: profile, search, message, match, response, query, session. `tier`: near (in this process) or store.
export const cacheHits = counter("connect_cache_hits_total", "Reads answered from a cache.", "cache", "tier")
export const cacheMisses = counter("connect_cache_misses_total", "Reads a cache had no answer for.", "cache")
export const cacheSeconds = latency("connect_cache_read_duration_seconds", "Time of a cache read.", "cache")
export const cacheFailures = counter("connect_cache_failures_total", "Cache calls the store failed.", "cache")
export const cacheEvictions = counter("connect_cache_evictions_total", "Near entries dropped for room.", "cache")
export const cacheStale = counter("connect_cache_stale_total", "Old values served as the lookup failed.", "cache")
export const cacheLost = counter("connect_cache_lost_total", "Writes behind and invalidations given up.", "cache")
export const cacheEntries = gauge("connect_cache_near_entries", "Entries of the near cache.", "cache")
export const cacheValueBytes = bytes("connect_cache_value_bytes", "Size of values looked up, as stored.", "cache")

// `outcome`: ok or failed.
export const storeCommands = counter("connect_store_commands_total", "Commands sent to the store.", "outcome")
export const storeSeconds = latency("connect_store_command_duration_seconds", "Time of one store command.")
export const storeEvictions = counter("connect_store_evictions_total", "Keys the memory store dropped for room.")
export const storeReconnects = counter("connect_store_reconnects_total", "Connections to the store made again.")
export const storeFollowing = gauge(
  "connect_store_following",
  "1 while Redis tells of keys that other processes change; 0: near values live a second at most."
)

export const queries = counter("connect_database_queries_total", "SQL statements run.", "outcome")
export const querySeconds = latency("connect_database_query_duration_seconds", "Time of one SQL statement.")
// `statement`: what it does and to which table, such as `select users`.
export const slowQueries = counter(
  "connect_database_slow_queries_total",
  "SQL statements above the slow threshold.",
  "statement"
)
// `batch`: user, interaction, match, message.
export const batchKeys = amount("connect_database_batch_keys", "Keys that one batched statement read.", "batch")
export const poolInUse = gauge("connect_database_pool_in_use", "Connections of the pool that are running a statement.")
export const poolOpen = gauge("connect_database_pool_open", "Connections of the pool that are open.")
export const poolMax = gauge("connect_database_pool_max", "Connections the pool may have.")
export const poolWaitSeconds = latency(
  "connect_database_pool_wait_seconds",
  "Time a statement waited for a connection."
)
export const poolWaiting = gauge("connect_database_pool_waiting", "Statements waiting for a connection.")

export const sessionsActive = gauge("connect_session_active", "Live sessions.")
export const sessionsCreated = counter("connect_session_created_total", "Sessions begun.")
// `reason`: the EndReason of src/session/Sessions.ts.
export const sessionsEnded = counter("connect_session_ended_total", "Sessions ended.", "reason")
export const sessionSeconds = lifetime("connect_session_lifetime_seconds", "Time from begin to end of a session.")
export const passwordSeconds = latency("connect_password_hash_duration_seconds", "Time to hash or verify a password.")

// `rule`: a name of src/rate/RateLimiter.ts. `outcome`: allowed, limited. `degraded`: yes, no.
export const rateLimitChecks = counter(
  "connect_rate_limit_checks_total",
  "Rate limits asked: allowed for each rule of a call let in, limited for the one rule a refused call waits longest for; degraded yes: the store was away.",
  "rule",
  "outcome",
  "degraded"
)

export const queueWaiting = gauge("connect_queue_waiting", "Tickets waiting in this process's index.")
// `outcome`: accepted, full, or the error's code.
export const queueJoins = counter("connect_queue_joins_total", "Attempts to join the queue.", "outcome")
export const queueLeft = counter("connect_queue_left_total", "Tickets that ended without a match.", "reason")
export const matches = counter("connect_queue_matches_total", "Pairs matched, by the level of widening.", "level")
export const matchWaitSeconds = wait("connect_queue_wait_seconds", "Time a matched ticket waited.")
export const queuePassSeconds = latency("connect_queue_pass_duration_seconds", "Time of one pass over the queue.")
export const claimsLost = counter("connect_queue_claims_lost_total", "Pairs the database gave to somebody else.")

export const interactionsActive = gauge("connect_interaction_active", "Interactions with an actor in this process.")
export const interactionsEnded = counter("connect_interaction_ended_total", "Interactions ended.", "reason")

export const messagesAcknowledged = counter("connect_message_acknowledged_total", "Messages committed and answered.")
export const messagesResent = counter("connect_message_resent_total", "Sends answered with the message stored before.")
export const messagesRefused = counter("connect_message_refused_total", "Messages refused.", "code")
export const ackSeconds = latency("connect_message_ack_duration_seconds", "Time from send to acknowledgement.")
export const deliverySeconds = latency("connect_message_delivery_duration_seconds", "Time from commit to the socket.")
export const commitRows = amount("connect_message_commit_rows", "Events written by one group commit.")
export const eventRefills = counter("connect_message_refills_total", "Holes in a stream filled from the database.")
export const broadcastDropped = counter("connect_broadcast_dropped_total", "Signals dropped for slow subscribers.")

// `transport`: ws or sse.
export const socketsOpen = gauge("connect_socket_open", "Open streaming connections.", "transport")
export const socketsClosed = counter("connect_socket_closed_total", "Streaming connections closed.", "reason")
export const subscriptions = gauge("connect_socket_subscriptions", "Subscriptions in progress.", "field")

// `actor`: the actor's type, never its id.
export const actorsActive = gauge("connect_actor_active", "Actors in memory.", "actor")
export const actorMessages = counter("connect_actor_messages_total", "Messages handled by actors.", "actor")
export const actorMailboxFull = counter("connect_actor_mailbox_full_total", "Messages a full mailbox refused.", "actor")
export const actorCrashes = counter("connect_actor_crashes_total", "Defects in actors' handlers.", "actor")
export const actorRestarts = counter("connect_actor_restarts_total", "Actors started again after a defect.", "actor")
export const actorStops = counter("connect_actor_stops_total", "Actors stopped after repeated failures.", "actor")
export const actorsShed = counter("connect_actor_shed_total", "Idle actors put away for memory.")
export const actorPassivations = counter("connect_actor_passivations_total", "Idle actors put away.", "actor")
export const actorMailboxDepth = amount("connect_actor_mailbox_depth", "Messages before one that arrives.", "actor")
export const actorWaitSeconds = latency("connect_actor_mailbox_wait_seconds", "Time messages waited.", "actor")
export const actorRemoteFailures = counter("connect_actor_remote_failures_total", "Calls lost between nodes.", "actor")
export const actorRemoteRetries = counter(
  "connect_actor_remote_retries_total",
  "Calls between nodes made again.",
  "actor"
)
export const actorInboxOldestSeconds = gauge(
  "connect_actor_inbox_oldest_seconds",
  "Time the oldest durable message waits.",
  "actor"
)
export const actorInboxStalls = counter(
  "connect_actor_inbox_stalls_total",
  "Restarts because messages were not handled.",
  "actor"
)
export const deadLetters = counter("connect_actor_dead_letters_total", "Messages nobody handled.", "reason")

// `fiber`: the name given to Supervised.fork.
export const fibersRunning = gauge("connect_fiber_running", "1 while the supervised fiber runs.", "fiber")
export const fiberRestarts = counter("connect_fiber_restarts_total", "Restarts of supervised fibers.", "fiber")

// `verdict`: allow, flag, hold, reject. `kind`: a moderation action's kind.
export const moderationVerdicts = counter("connect_moderation_verdicts_total", "Texts judged by the rules.", "verdict")
export const moderationActions = counter("connect_moderation_actions_total", "Moderation actions taken.", "kind")
export const reportsMade = counter("connect_moderation_reports_total", "Reports by users.", "reason")

// `function`: the name given to measure or timed. `outcome`: ok, failed, died, interrupted.
export const calls = counter("connect_function_calls_total", "Calls of measured functions.", "function", "outcome")
export const callSeconds = latency("connect_function_duration_seconds", "Time of measured functions.", "function")

export const checkFailing = gauge("connect_health_check_failing", "1 while the check fails, 0.5 at a warning.", "check")
export const alertFiring = gauge("connect_alert_firing", "1 while the alert fires.", "alert")

export const cpuSeconds = counter("process_cpu_seconds_total", "CPU time used, user and system.")
export const cpuRatio = gauge("process_cpu_utilization_ratio", "CPU time per second over the last sample.")
export const residentBytes = gauge("process_resident_memory_bytes", "Resident memory.")
export const heapUsedBytes = gauge("process_heap_used_bytes", "Heap in use.")
export const memoryBytesMax = gauge("process_memory_limit_bytes", "Memory the process may use.")
export const uptimeSeconds = gauge("process_uptime_seconds", "Time since the process started.")
export const collectionSeconds = latency("process_collection_seconds", "Pauses in which a process at rest collected.")
export const eventLoopSeconds = latency("process_event_loop_delay_seconds", "How late a timer fired, each sample.")
