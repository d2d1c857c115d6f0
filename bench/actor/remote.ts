import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import * as Exit from "effect/Exit"
import { freePort } from "../../test/kit/ports.ts"
import { median, percentile } from "../kit.ts"
import { Adder, AdderEntity, client as ourClient, rawClient } from "./node.ts"
import * as Postgres from "./postgres.ts"
import { startNode } from "./processes.ts"

/** Asks of actors that live in another process: ours beside a raw @effect/cluster client, on the same setup. */
const callers = 64
const actors = Array.from({ length: 100 }, (_, i) => `actor-${i}`)
const slotMillis = 1_500

interface Remote {
  readonly name: string
  readonly ask: (id: string) => Effect.Effect<number, unknown>
  readonly run: <A>(effect: Effect.Effect<A, unknown>) => Promise<A>
  readonly close: () => Promise<unknown>
}

const ours = async (url: string): Promise<Remote> => {
  const node = await startNode(url, "ours")
  const runtime = ManagedRuntime.make(ourClient(url, await freePort()))
  const client = await runtime.runPromise(Adder.client)
  return {
    name: "ours, other process",
    ask: (id) => client.ask(id).Add({ amount: 1 }),
    run: (effect) => runtime.runPromise(effect),
    close: () => runtime.dispose().then(() => node.stop("SIGTERM"))
  }
}

const raw = async (url: string): Promise<Remote> => {
  const node = await startNode(url, "cluster")
  const runtime = ManagedRuntime.make(rawClient(url, await freePort()))
  const client = await runtime.runPromise(AdderEntity.client)
  return {
    name: "@effect/cluster, other process",
    ask: (id) => client(id).Add({ amount: 1 }),
    run: (effect) => runtime.runPromise(effect as Effect.Effect<never>),
    close: () => runtime.dispose().then(() => node.stop("SIGTERM"))
  }
}

const throughput = async ({ ask, run }: Remote) => {
  const until = performance.now() + slotMillis
  const begun = performance.now()
  let asked = 0
  await run(
    Effect.forEach(
      Array.from({ length: callers }, (_, caller) => caller),
      (caller) => {
        let i = 0
        return Effect.whileLoop({
          while: () => performance.now() < until,
          body: () => ask(actors[(caller * 31 + i++) % actors.length]!),
          step: () => asked++
        })
      },
      { concurrency: "unbounded", discard: true }
    )
  )
  return (asked * 1_000) / (performance.now() - begun)
}

const latency = async ({ ask, run }: Remote) => {
  const micros: Array<number> = []
  let begun = 0
  let i = 0
  await run(
    Effect.whileLoop({
      while: () => i < 300,
      body: () => {
        begun = performance.now()
        return ask(actors[i++ % actors.length]!)
      },
      step: () => micros.push((performance.now() - begun) * 1_000)
    })
  )
  return micros
}

/** Both have a database of their own on one server: their tables have the same names. */
export const remote = async (rounds: number) => {
  const scope = await Effect.runPromise(Scope.make())
  const both: Array<Remote> = []
  try {
    const server = await Effect.runPromise(Scope.extend(Postgres.start, scope))
    const other = await Effect.runPromise(Scope.extend(Postgres.start, scope))
    both.push(await ours(server), await raw(other))
    const results = both.map((system) => ({ system, perSecond: [] as Array<number>, micros: [] as Array<number> }))
    for (let round = -1; round < rounds; round++) {
      for (const { micros, perSecond, system } of results) {
        const measured = await throughput(system)
        const waited = await latency(system)
        if (round < 0) continue
        perSecond.push(measured)
        micros.push(...waited)
      }
    }
    return {
      ratio: median(results[0]!.perSecond.map((perSecond, round) => perSecond / results[1]!.perSecond[round]!)),
      rows: results.map(({ micros, perSecond, system }) => ({
        system: system.name,
        "messages/s": median(perSecond),
        "p50 us": percentile(micros, 0.5),
        "p99 us": percentile(micros, 0.99)
      }))
    }
  } finally {
    for (const system of both) await system.close()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
}
if (import.meta.main) {
  console.log(await remote(Number(process.argv[2] ?? 3)))
  process.exit(0)
}
