import * as ClusterSchema from "@effect/cluster/ClusterSchema"
import * as Entity from "@effect/cluster/Entity"
import * as SingleRunner from "@effect/cluster/SingleRunner"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Inbox from "../../src/actor/Inbox.ts"
import * as States from "../../src/actor/States.ts"
import * as Supervised from "../../src/actor/Supervised.ts"
import { median, percentile } from "../kit.ts"
import * as Database from "./database.ts"
import * as Postgres from "./postgres.ts"

/**
 * Messages that are on the disk before they are answered: ours, whose handler's state is kept too, beside
 * @effect/cluster's persisted ones, which keep the message and the reply. Same server, every commit flushed.
 */
interface Durable {
  readonly ask: (id: string, key: string) => Effect.Effect<number, unknown>
  readonly run: (effect: Effect.Effect<void, unknown>) => Promise<void>
  readonly close: () => Promise<void>
}

const Counter = Actor.make("DurableCounter", {
  protocol: [Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int })],
  state: { schema: Schema.Struct({ n: Schema.Int }), initial: { n: 0 } }
})

const counters = Counter.toLayer(({ state }) =>
  Effect.succeed({
    Add: ({ amount }) => Effect.map(Effect.orDie(state.update(({ n }) => ({ n: n + amount }))), ({ n }) => n)
  })
)

const ours = async (url: string): Promise<Durable> => {
  const runtime = ManagedRuntime.make(
    counters.pipe(
      Layer.provideMerge(Inbox.layer),
      Layer.provideMerge(Layer.mergeAll(ActorSystem.layerLocal, Supervised.Registry.layer, States.layerSql)),
      Layer.provideMerge(Database.layer(url))
    )
  )
  const inbox = await runtime.runPromise(Inbox.of(Counter))
  return {
    ask: (id, key) => inbox.ask(id, key).Add({ amount: 1 }),
    run: (effect) => runtime.runPromise(effect),
    close: () => runtime.dispose()
  }
}

const CounterEntity = Entity.make("PersistedCounter", [
  Rpc.make("Add", {
    payload: { amount: Schema.Int, key: Schema.String },
    success: Schema.Int,
    primaryKey: ({ key }) => key
  }).annotate(ClusterSchema.Persisted, true)
])

const cluster = async (url: string): Promise<Durable> => {
  const handlers = CounterEntity.toLayer(
    Effect.sync(() => {
      let n = 0
      return { Add: ({ payload }) => Effect.sync(() => (n += payload.amount)) }
    }),
    { maxIdleTime: "10 minutes" }
  )
  const runtime = ManagedRuntime.make(
    handlers.pipe(
      Layer.provideMerge(SingleRunner.layer({ runnerStorage: "memory" })),
      Layer.provide(Database.layer(url)),
      Layer.provide(Logger.remove(Logger.defaultLogger))
    )
  )
  const client = await runtime.runPromise(CounterEntity.client)
  return {
    ask: (id, key) => client(id).Add({ amount: 1, key }),
    run: (effect) => runtime.runPromise(effect),
    close: () => runtime.dispose()
  }
}

const actors = Array.from({ length: 100 }, (_, i) => `actor-${i}`)

let keys = 0

const measure = async (system: Durable, callers: number, each: number) => {
  const micros: Array<number> = []
  const begun = performance.now()
  await system.run(
    Effect.forEach(
      Array.from({ length: callers }, (_, caller) => caller),
      (caller) => {
        let i = 0
        let asked = 0
        return Effect.whileLoop({
          while: () => i < each,
          body: () => {
            asked = performance.now()
            return system.ask(actors[(caller * 31 + i++) % actors.length]!, `${keys++}`)
          },
          step: () => micros.push((performance.now() - asked) * 1_000)
        })
      },
      { concurrency: "unbounded", discard: true }
    )
  )
  return { perSecond: (callers * each * 1_000) / (performance.now() - begun), micros }
}

export type DurableRow = Readonly<Record<"system" | "messages/s" | "p50 us" | "p99 us", string | number>>

interface Plan {
  readonly name: string
  readonly open: (url: string) => Promise<Durable>
  readonly callers: number
  readonly each: number
}

const plans: ReadonlyArray<Plan> = [
  { name: "ours, durable", open: ours, callers: 32, each: 60 },
  { name: "ours, durable, 2,000 callers", open: ours, callers: 2_000, each: 5 },
  { name: "@effect/cluster persisted", open: cluster, callers: 32, each: 15 }
]

/**
 * 32 callers that wait for each reply, and for ours 2,000 besides, whose messages share commits. Each system is opened
 * for its turn only: the cluster polls its tables all the time, which would be charged to its neighbour.
 */
export const durable = (rounds: number) =>
  Effect.gen(function* () {
    const url = yield* Postgres.start
    return yield* Effect.promise(async () => {
      const results = plans.map((plan) => ({ plan, perSecond: [] as Array<number>, micros: [] as Array<number> }))
      for (let round = 0; round < rounds; round++) {
        for (const { micros, perSecond, plan } of results) {
          const system = await plan.open(url)
          await measure(system, plan.callers, Math.ceil(plan.each / 4))
          const measured = await measure(system, plan.callers, plan.each)
          await system.close()
          perSecond.push(measured.perSecond)
          micros.push(...measured.micros)
        }
      }
      const ratio = (a: number) =>
        median(results[a]!.perSecond.map((perSecond, round) => perSecond / results[2]!.perSecond[round]!))
      const rows = results.map(({ micros, perSecond, plan }): DurableRow => ({
        system: plan.name,
        "messages/s": median(perSecond),
        "p50 us": percentile(micros, 0.5),
        "p99 us": percentile(micros, 0.99)
      }))
      return { rows, unbatched: ratio(0), batched: ratio(1) }
    })
  }).pipe(Effect.scoped)

if (import.meta.main) {
  console.log(await Effect.runPromise(durable(3)))
  process.exit(0)
}
