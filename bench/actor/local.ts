import * as Effect from "effect/Effect"
import { median, percentile } from "../kit.ts"
import { peers } from "./peers.ts"
import { cluster, ours, oursWithSpan, queueFiber, type System } from "./systems.ts"

/** Asks of actors in this process, of every system in turn. */
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

export const local = async (rounds: number) => {
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
  for (const { system } of results) await system.close()
  /** Median over the rounds of the ratio within a round: what disturbs one system disturbs its neighbour too. */
  const ratio = (a: number, b: number) =>
    median(results[a]!.perSecond.map((perSecond, round) => perSecond / results[b]!.perSecond[round]!))
  return {
    rows: [
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
      }))
    ],
    figures: {
      local_ask_vs_cluster: ratio(0, 3),
      local_ask_vs_queue_fiber: ratio(0, 2),
      ask_with_span_vs_cluster: ratio(1, 3)
    }
  }
}
