/**
 * Matchmaking: the index alone (an arrival among so many who wait, a burst, bytes of a ticket) beside a scan of everyone,
 * and with Postgres (durable joins and matches a second, time from joinQueue to MatchFound) beside what Postgres does
 * with the claims alone.
 */
import * as Effect from "effect/Effect"
import { percentile, report, table } from "./kit.ts"
import * as core from "./matchmaker/core.ts"
import * as durable from "./matchmaker/durable.ts"

if (process.argv[2] === "memory") {
  await import("./matchmaker/memory.ts")
  process.exit()
}

const child = Bun.spawnSync([process.execPath, import.meta.path, "memory"])
const { bytes, residentBytes } = JSON.parse(child.stdout.toString()) as Readonly<Record<string, number>>

core.burst(20_000)
core.arrivals(1_000)
const rows = [1_000, 10_000, 100_000].map((waiting) => {
  const { before, matches, micros } = core.arrivals(waiting)
  return {
    waiting: before,
    matches,
    "p50 µs": percentile(micros, 0.5),
    "p99 µs": percentile(micros, 0.99),
    "p99.9 µs": percentile(micros, 0.999),
    "arrivals/s": 1e6 / (micros.reduce((a, b) => a + b, 0) / micros.length)
  }
})
console.log(`One arrival, in core:\n${table(rows)}`)

const bursts = [1_000, 10_000, 100_000].map((count) => {
  const { left, seconds, unmatched, widenMillis } = core.burst(count)
  return { burst: count, seconds, "µs a ticket": (seconds / count) * 1e6, left, "widening ms": widenMillis, unmatched }
})
console.log(`\nMany at once, in core:\n${table(bursts)}`)

const scanned = percentile(core.scan(100_000), 0.5)
console.log(`\nA scan of 100,000: ${scanned.toFixed(0)} µs an arrival. A waiting ticket: ${bytes!.toFixed(0)} bytes.`)

const { alone, latencies, throughput } = await Effect.runPromise(
  Effect.gen(function* () {
    const alone = yield* durable.claimsAlone(3_200)
    yield* durable.throughput(2_000)
    const throughput = yield* durable.throughput(8_000)
    const latencies = yield* durable.latency(10_000, 300, 5)
    return { alone, throughput, latencies }
  }).pipe(Effect.provide(durable.system))
)
const [p50, p99] = [percentile(latencies, 0.5), percentile(latencies, 0.99)]
console.log(
  `\nWith Postgres:\n${table([
    { what: "joins/s, 256 in flight", figure: throughput.joins },
    { what: "matches/s of these", figure: throughput.matches },
    { what: "matches/s, claims alone", figure: alone },
    { what: "join to MatchFound p50 ms (300 joins/s, 10,000 wait)", figure: p50 },
    { what: "join to MatchFound p99 ms", figure: p99 }
  ])}`
)

report("matchmaker", {
  arrivalP50Micros: rows[2]!["p50 µs"],
  arrivalP99Micros: rows[2]!["p99 µs"],
  arrivalsPerSecond: rows[2]!["arrivals/s"],
  scanToArrivalRatio: scanned / rows[2]!["p50 µs"],
  burst100kSeconds: bursts[2]!.seconds,
  bytesPerTicket: bytes!,
  residentBytesPerTicket: residentBytes!,
  joinsPerSecond: throughput.joins,
  matchesPerSecond: throughput.matches,
  claimsAlonePerSecond: alone,
  matchFoundP50Millis: p50,
  matchFoundP99Millis: p99
})
