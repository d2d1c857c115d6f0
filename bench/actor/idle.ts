import { setImmediate } from "node:timers/promises"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"

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

// Stands still until every one of them is overdue.
while (performance.now() < done + idleMillis + 500);
Bun.gc(true)
let blocked = 0
let slices = 0
for (let last = performance.now(); active() > 0;) {
  await setImmediate()
  const now = performance.now()
  blocked = Math.max(blocked, now - last)
  slices++
  last = now
}

console.log(
  JSON.stringify({
    heapBytes: (memory.heapUsed - heap) / count,
    rssBytes: (memory.rss - rss) / count,
    activateMicros: ((done - begun) / count) * 1_000,
    blockedMillis: blocked,
    slices
  })
)
process.exit(0)
