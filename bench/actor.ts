/**
 * The actor runtime beside @effect/cluster and a hand-written Queue + Deferred + fiber, in one interleaved run: each round
 * measures every system once, figures are medians over the rounds. `bun run bench actor [ROUNDS]`.
 */
import * as Effect from "effect/Effect"
import * as Durable from "./actor/durable.ts"
import { poison, shutdown } from "./actor/failing.ts"
import { peers } from "./actor/peers.ts"
import { cluster, ours, oursWithSpan, queueFiber, type System } from "./actor/systems.ts"
import { median, percentile, report, table } from "./kit.ts"

const rounds = Number(process.argv[2] ?? 5)
const actors = Array.from({ length: 100 }, (_, i) => `actor-${i}`)
const callers = 64
const slotMillis = 400
const latencySamples = 2_000

const asks = (system: System, each: number) =>
  Effect.forEach(
    Array.from({ length: callers }, (_, caller) => caller),
    (caller) => {
      let i = 0
      return Effect.whileLoop({
        while: () => i < each,
        body: () => system.ask(actors[(caller * 31 + i++) % actors.length]!, 1),
        step: () => {}
      })
    },
    { concurrency: "unbounded", discard: true }
  )

/** Messages a second; `each` grows until the measured time fills the slot. */
const throughput = async (run: (each: number) => Promise<void>, each: number) => {
  const begun = performance.now()
  await run(each)
  const millis = performance.now() - begun
  return { perSecond: (callers * each * 1_000) / millis, next: Math.max(1, Math.round((each * slotMillis) / millis)) }
}

const latency = async (system: System, samples: number) => {
  const micros: Array<number> = []
  let begun = 0
  let i = 0
  await system.run(
    Effect.whileLoop({
      while: () => i < samples,
      body: () => {
        begun = performance.now()
        return system.ask(actors[i++ % actors.length]!, 1)
      },
      step: () => micros.push((performance.now() - begun) * 1_000)
    })
  )
  return micros
}

const systems = [await ours(), await oursWithSpan(), await queueFiber(), await cluster()]
const results = systems.map((system) => ({
  system,
  each: 20,
  perSecond: [] as Array<number>,
  micros: [] as Array<number>
}))
const context = (await peers()).map((peer) => ({ peer, each: 20, perSecond: [] as Array<number> }))

for (let round = -1; round < rounds; round++) {
  for (const result of results) {
    const { next, perSecond } = await throughput((each) => result.system.run(asks(result.system, each)), result.each)
    result.each = next
    const micros = await latency(result.system, latencySamples)
    if (round < 0) continue
    result.perSecond.push(perSecond)
    result.micros.push(...micros)
  }
  for (const row of context) {
    const { next, perSecond } = await throughput((each) => row.peer.run(actors, callers, each), row.each)
    row.each = next
    if (round >= 0) row.perSecond.push(perSecond)
  }
}

const idleRuns: Array<Record<string, number>> = []
for (let run = 0; run < 3; run++) {
  const child = Bun.spawnSync([process.execPath, `${import.meta.dir}/actor/idle.ts`], { stderr: "inherit" })
  idleRuns.push(JSON.parse(child.stdout.toString()) as Record<string, number>)
}
const idle = (name: string) => median(idleRuns.map((run) => run[name]!))
const poisoned = await poison(100)
const over = await shutdown(500)
for (const { system } of results) await system.close()
const durable = await Effect.runPromise(Durable.durable(Math.min(rounds, 3)))

console.log(
  table([
    ...results.map(({ micros, perSecond, system }) => ({
      system: system.name,
      "messages/s": median(perSecond),
      "p50 us": percentile(micros, 0.5),
      "p99 us": percentile(micros, 0.99)
    })),
    ...context.map(({ peer, perSecond }) => ({
      system: peer.name,
      "messages/s": median(perSecond),
      "p50 us": "",
      "p99 us": ""
    })),
    ...durable.rows
  ])
)
console.log(`\nactivation of one of 100,000: ${idle("activateMicros").toFixed(1)} us`)

/** Median over the rounds of the ratio within a round: what disturbs one system disturbs its neighbour too. */
const ratio = (a: number, b: number) =>
  median(results[a]!.perSecond.map((perSecond, round) => perSecond / results[b]!.perSecond[round]!))

report("actor", {
  local_ask_vs_cluster: ratio(0, 3),
  local_ask_vs_queue_fiber: ratio(0, 2),
  ask_with_span_vs_cluster: ratio(1, 3),
  idle_actor_heap_bytes: idle("heapBytes"),
  idle_actor_rss_bytes: idle("rssBytes"),
  passivation_longest_block_millis: idle("blockedMillis"),
  durable_vs_cluster_persisted: durable.unbatched,
  durable_batched_vs_cluster_persisted: durable.batched,
  poison_answer_millis: poisoned.answerMillis,
  poison_other_caller_extra_millis: poisoned.extraMillis,
  shutdown_over_deadline_millis: Math.max(0, over)
})
process.exit(0)
