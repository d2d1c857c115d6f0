import { expect } from "bun:test"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as RedisStore from "../../layers/store/RedisStore.ts"
import {
  Broadcast,
  layerLocal,
  layerStore,
  type Signal,
  signals,
  subscriberBufferMax
} from "../../src/broadcast/Broadcast.ts"
import { outgoingMax, owedPause } from "../../src/broadcast/Relay.ts"
import { StoreUnavailable } from "../../src/errors.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it, withLayer } from "../kit/effect.ts"
import * as Redis from "../kit/Redis.ts"

const take = <A>(stream: Stream.Stream<Signal<A>>, count: number) =>
  Effect.map(Stream.runCollect(Stream.take(stream, count)), (signals) =>
    Chunk.toReadonlyArray(signals).map((signal) => (signal._tag === "Gap" ? "Gap" : signal.message))
  )

const contract = (name: string, layer: Layer.Layer<Broadcast>) =>
  withLayer(`Broadcast: ${name}`, layer, (test) => {
    test("every subscriber of the topic gets each message once, in order", () =>
      Effect.gen(function* () {
        const broadcast = yield* Broadcast
        yield* broadcast.publish("topic", "too early")
        const streams = yield* Effect.all([signals(broadcast, "topic"), signals(broadcast, "topic")])
        yield* broadcast.publish("other", "not ours")
        for (let n = 0; n < 100; n++) yield* broadcast.publish("topic", { n })
        for (const stream of streams) {
          expect(yield* take(stream, 100)).toEqual(Array.from({ length: 100 }, (_, n) => ({ n })))
        }
      }))

    test("a slow subscriber loses the oldest and sees one Gap before the rest", () =>
      Effect.gen(function* () {
        const broadcast = yield* Broadcast
        const stream = yield* signals(broadcast, "slow")
        const sent = subscriberBufferMax + 10
        for (let n = 0; n < sent; n++) yield* broadcast.publish("slow", n)
        const seen = yield* take(stream, subscriberBufferMax + 1)
        expect(seen).toEqual(["Gap", ...Array.from({ length: subscriberBufferMax }, (_, n) => n + 10)])
      }))
  })

contract("local", layerLocal)
contract("store in memory", Layer.provide(layerStore, StoreMemory.layer))
contract("store on Redis", Layer.provide(layerStore, Redis.layerStore))

/** Two processes, as far as Redis can tell. */
const two = (redis: Redis.Instance, store = Redis.patientStore(redis)) =>
  Effect.gen(function* () {
    const one = Effect.map(Layer.build(Layer.provideMerge(layerStore, Layer.scoped(Store, store))), (context) =>
      Context.get(context, Broadcast)
    )
    return yield* Effect.all([one, one])
  })

it.live("another process gets what is published here, and what it publishes itself only once", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.shared
    const [here, there] = yield* two(redis)
    const [mine, theirs] = yield* Effect.all([signals<string>(here, "two"), signals<string>(there, "two")])
    yield* here.publish("two", "from here")
    expect(yield* take(theirs, 1)).toEqual(["from here"])
    yield* there.publish("two", "from there")
    expect(yield* take(mine, 2)).toEqual(["from here", "from there"])
    yield* here.publish("two", "end")
    expect(yield* take(theirs, 2)).toEqual(["from there", "end"])
  })
)

it.live("many subscribers of a process are one subscription at Redis, and none when the last has gone", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.shared
    const [here] = yield* two(redis)
    const count = redis.command("PUBSUB", "NUMSUB", "broadcast:many")
    yield* Effect.scoped(
      Effect.gen(function* () {
        yield* Effect.all(Array.from({ length: 20 }, () => signals(here, "many")))
        expect(yield* count).toEndWith(":1")
      })
    )
    yield* count.pipe(Effect.repeat({ until: (text) => text.endsWith(":0"), schedule: Schedule.spaced("5 millis") }))
  })
)

it.live("publishing never waits for a dead Redis, and listeners elsewhere see a Gap when it is back", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.start()
    const [here, there] = yield* two(redis, RedisStore.make(Redis.address(redis)))
    const theirs = yield* signals<number>(there, "topic")
    yield* redis.pause
    const [took] = yield* Effect.timed(
      Effect.forEach(
        Array.from({ length: 1_000 }, (_, n) => n),
        (n) => here.publish("topic", n)
      )
    )
    expect(Number(took.value._tag === "Nanos" ? took.value.nanos / 1_000_000n : 0)).toBeLessThan(100)
    yield* redis.kill
    yield* redis.restart
    expect(yield* take(theirs, 1)).toEqual(["Gap"])
    yield* here.publish("topic", -1).pipe(Effect.repeat({ schedule: Schedule.spaced("20 millis"), times: 30 }))
    expect((yield* take(theirs, 2)).at(-1)).toBe(-1)
  })
)

it.live("what was published right before a process ended is heard", () =>
  Effect.gen(function* () {
    const redis = yield* Redis.shared
    const [there] = yield* two(redis)
    const theirs = yield* signals<number>(there, "ending")
    const sent = Array.from({ length: 100 }, (_, n) => n)
    yield* Effect.scoped(Effect.flatMap(two(redis), ([here]) => Effect.forEach(sent, (n) => here.publish("ending", n))))
    expect(yield* take(theirs, 100)).toEqual(sent)
  })
)

/** The Broadcast of a process on `store`. */
const over = (store: typeof Store.Service) =>
  Effect.map(Layer.build(Layer.provide(layerStore, Layer.succeed(Store, store))), Context.get(Broadcast))

/** To a store in memory nothing is sent. */
const remote = Effect.map(Layer.build(StoreMemory.layer), (context): typeof Store.Service => ({
  ...Context.get(context, Store),
  backend: "redis"
}))

it("a Gap that is owed elsewhere is told when the store takes it again, also when nothing else is sent", () =>
  Effect.gen(function* () {
    const store = yield* remote
    let away = true
    const publish: typeof store.publish = (channel, payload) =>
      away
        ? Effect.fail(new StoreUnavailable({ operation: "publish", cause: "away" }))
        : store.publish(channel, payload)
    const here = yield* over({ ...store, publish })
    const theirs = yield* signals<number>(yield* over(store), "topic")
    yield* here.publish("topic", 1)
    yield* TestClock.adjust(Duration.times(owedPause, 3))
    away = false
    const seen = yield* Effect.fork(take(theirs, 1))
    yield* TestClock.adjust(owedPause)
    expect(yield* Fiber.join(seen)).toEqual(["Gap"])
  }))

it("beyond the bound of what waits to be sent a message is lost, and listeners elsewhere see a Gap", () =>
  Effect.gen(function* () {
    const store = yield* remote
    const gate = yield* Deferred.make<void>()
    const publish: typeof store.publish = (channel, payload) =>
      Effect.zipRight(Deferred.await(gate), store.publish(channel, payload))
    const here = yield* over({ ...store, publish })
    const seen: Array<unknown> = []
    yield* (yield* over(store)).listen<string>("topic", (signal) =>
      seen.push(signal._tag === "Gap" ? "Gap" : signal.message)
    )
    yield* here.publish("topic", "first")
    yield* TestClock.adjust("1 millis")
    for (let n = 0; n < outgoingMax; n++) yield* here.publish("topic", "waits")
    yield* here.publish("topic", "lost")
    yield* Deferred.succeed(gate, undefined)
    yield* TestClock.adjust(owedPause)
    expect(seen.filter((one) => one !== "waits")).toEqual(["first", "Gap"])
    expect(seen.length).toBe(outgoingMax + 2)
  }))

it("what was published while a batch was on its way is sent before the process ends", () =>
  Effect.gen(function* () {
    const store = yield* remote
    const gate = yield* Deferred.make<void>()
    const publish: typeof store.publish = (channel, payload) =>
      Effect.zipRight(Deferred.await(gate), store.publish(channel, payload))
    const theirs = yield* signals<string>(yield* over(store), "topic")
    const scope = yield* Scope.make()
    const here = yield* Scope.extend(over({ ...store, publish }), scope)
    yield* here.publish("topic", "first")
    yield* TestClock.adjust("1 millis")
    yield* here.publish("topic", "second")
    const ending = yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* TestClock.adjust("1 millis")
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(ending)
    expect(yield* take(theirs, 2)).toEqual(["first", "second"])
  }))
