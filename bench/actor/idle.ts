import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import { ownMillis } from "./ownTime.ts"

/**
 * Run by bench/actor.ts in a process of its own: what an active but idle actor costs, and for how long the event loop
 * stands still while all of them are put away at the same moment.
 */
const count = Number(process.argv[2] ?? 100_000)
const idleMillis = 6_000

const add = Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int })
const Counter = Actor.make("Counter", { protocol: [add], idle: idleMillis })
const counters = Counter.toLayer(() =>
  Effect.sync(() => {
    let n = 0
    return { Add: ({ amount }: { readonly amount: number }) => Effect.sync(() => (n += amount)) }
  })
)
const runtime = ManagedRuntime.make(counters.pipe(Layer.provideMerge(ActorSystem.layerLocal)))
const client = await runtime.runPromise(Counter.client)
const system = await runtime.runPromise(ActorSystem.ActorSystem)
const active = () => runtime.runSync(system.stats)[0]!.active

await runtime.runPromise(client.ask("warm").Add({ amount: 1 }))
Bun.gc(true)
const heap = process.memoryUsage().heapUsed
const rss = process.memoryUsage.rss()
const begun = performance.now()
const ids = Array.from({ length: count }, (_, i) => i)
await runtime.runPromise(Effect.forEach(ids, (i) => client.ask(`actor-${i}`).Add({ amount: 1 }), { discard: true }))
const done = performance.now()
Bun.gc(true)
const memory = process.memoryUsage()

/** Time between two looks at the event loop. */
const lookMillis = 1

/**
 * For how long at most the event loop came late, until `over` says so; what other programs took does not count. One timer
 * is set again and again: a sampler that makes garbage measures the collector that it calls.
 */
const longestBlock = (over: () => boolean) =>
  new Promise<number>((resolve) => {
    let longest = 0
    let looks = 0
    let last = ownMillis()
    const timer = setTimeout(() => {
      const now = ownMillis()
      longest = Math.max(longest, now - last - lookMillis)
      last = now
      if (++looks % 32 === 0 && over()) resolve(longest)
      else timer.refresh()
    }, lookMillis)
  })

// The same with nothing put away: what the collector and the sampler take.
const controlMillis = await longestBlock(() => performance.now() > done + 2_000)

// Stands still until every one of them is overdue.
while (performance.now() < done + idleMillis + 500);
Bun.gc(true)
const blockedMillis = await longestBlock(() => active() === 0)

console.log(
  JSON.stringify({
    heapBytes: (memory.heapUsed - heap) / count,
    rssBytes: (memory.rss - rss) / count,
    activateMicros: ((done - begun) / count) * 1_000,
    blockedMillis,
    controlMillis
  })
)
process.exit(0)
