import * as Entity from "@effect/cluster/Entity"
import * as MessageStorage from "@effect/cluster/MessageStorage"
import * as RunnerHealth from "@effect/cluster/RunnerHealth"
import * as Runners from "@effect/cluster/Runners"
import * as RunnerStorage from "@effect/cluster/RunnerStorage"
import * as Sharding from "@effect/cluster/Sharding"
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import * as Rpc from "@effect/rpc/Rpc"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"

/** A counter by id: what all systems of this bench serve. */
export interface System {
  readonly name: string
  readonly ask: (id: string, amount: number) => Effect.Effect<number, unknown>
  readonly run: <A>(effect: Effect.Effect<A, unknown>) => Promise<A>
  readonly close: () => Promise<void>
}

const add = Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int })

export const Counter = Actor.make("Counter", { protocol: [add], idle: "10 minutes" })

export const counterLayer = Counter.toLayer(() =>
  Effect.sync(() => {
    let n = 0
    return { Add: ({ amount }: { readonly amount: number }) => Effect.sync(() => (n += amount)) }
  })
)

export const ours = async (): Promise<System> => {
  const runtime = ManagedRuntime.make(counterLayer.pipe(Layer.provideMerge(ActorSystem.layerLocal)))
  const client = await runtime.runPromise(Counter.client)
  return {
    name: "ours",
    ask: (id, amount) => client.ask(id).Add({ amount }),
    run: (effect) => runtime.runPromise(effect),
    close: () => runtime.dispose()
  }
}

/** The same with a caller that has a sampled span, so that every message gets one. */
export const oursWithSpan = async (): Promise<System> => {
  const system = await ours()
  return { ...system, name: "ours, span each", run: (effect) => system.run(Effect.withSpan(effect, "bench")) }
}

/** The volatile single-process cluster, without a database and without simulated serialization. */
export const clusterLayer = Sharding.layer.pipe(
  Layer.provideMerge(Runners.layerNoop),
  Layer.provideMerge(MessageStorage.layerNoop),
  Layer.provide([RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
  Layer.provide(ShardingConfig.layer({ simulateRemoteSerialization: false }))
)

const CounterEntity = Entity.make("Counter", [add])

export const cluster = async (): Promise<System> => {
  const handlers = CounterEntity.toLayer(
    Effect.sync(() => {
      let n = 0
      return { Add: ({ payload }) => Effect.sync(() => (n += payload.amount)) }
    }),
    { maxIdleTime: "10 minutes" }
  )
  const runtime = ManagedRuntime.make(handlers.pipe(Layer.provideMerge(clusterLayer)))
  const client = await runtime.runPromise(CounterEntity.client)
  return {
    name: "@effect/cluster volatile",
    ask: (id, amount) => client(id).Add({ amount }),
    run: (effect) => runtime.runPromise(effect),
    close: () => runtime.dispose()
  }
}

interface Asked {
  readonly amount: number
  readonly reply: Deferred.Deferred<number>
}

/** What one writes by hand: a bounded Queue and a fiber for each actor, a Deferred for each reply. */
export const queueFiber = async (): Promise<System> => {
  const runtime = ManagedRuntime.make(Layer.scope)
  const queues = new Map<string, Queue.Queue<Asked>>()
  const start = Effect.gen(function* () {
    const queue = yield* Queue.bounded<Asked>(1_024)
    let n = 0
    yield* Queue.take(queue).pipe(
      Effect.flatMap(({ amount, reply }) => Deferred.succeed(reply, (n += amount))),
      Effect.forever,
      Effect.forkDaemon
    )
    return queue
  })
  const queueOf = (id: string) =>
    Effect.suspend(() => {
      const queue = queues.get(id)
      if (queue !== undefined) return Effect.succeed(queue)
      return Effect.tap(start, (made) => Effect.sync(() => queues.set(id, made)))
    })
  return {
    name: "Queue + Deferred + fiber",
    ask: (id, amount) =>
      Effect.gen(function* () {
        const queue = yield* queueOf(id)
        const reply = yield* Deferred.make<number>()
        yield* Queue.offer(queue, { amount, reply })
        return yield* Deferred.await(reply)
      }),
    run: (effect) => runtime.runPromise(effect as Effect.Effect<never>),
    close: () => runtime.dispose()
  }
}
