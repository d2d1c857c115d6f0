import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as Stream from "effect/Stream"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import { SessionExpired } from "../../src/errors.ts"
import * as Feed from "../../src/graphql/Feed.ts"
import { type Reader, type Source, Subscription } from "../../src/graphql/Subscription.ts"
import { withLayer } from "../kit/effect.ts"

/** What a reader was told, by whom, and how it may be held up. */
const reading = Effect.gen(function* () {
  const runFork = Runtime.runFork(yield* Effect.runtime<never>())
  const fibers: Array<Fiber.RuntimeFiber<void>> = []
  const told: Array<unknown> = []
  let hold: Effect.Effect<void> = Effect.void
  const reader = {
    fork: (effect: Effect.Effect<void>) => {
      const fiber = runFork(effect)
      fibers.push(fiber)
      return fiber
    },
    receive: (answer: object) => Effect.suspend(() => (told.push(answer), hold)),
    end: (failure: Error | undefined) => void told.push(failure?.message ?? "end")
  }
  return {
    reader,
    told,
    fibers,
    running: () => fibers.filter((fiber) => fiber.unsafePoll() === null).length,
    holdUp: (by: Effect.Effect<void>) => {
      hold = by
    }
  }
})

const counts: Array<number> = []
const source = (open: Source["open"]): Source => ({
  open,
  answer: (event) => Effect.succeed({ data: { event } }),
  count: (change) => void counts.push(change)
})

const begin = (from: Source, reader: Reader) => new Subscription(from, reader)

/** Tells what is published on a topic. */
const topic = (broadcast: typeof Broadcast.Broadcast.Service) =>
  source((wake) =>
    Effect.map(Broadcast.outlet<number>(broadcast, "topic", wake), (signals): Feed.Feed<number, never> => ({
      take: () =>
        Effect.sync(() => ({
          values: signals.drain().flatMap((signal) => (signal._tag === "Gap" ? [] : [signal.message])),
          next: "wait"
        }))
    }))
  )

const events = (...all: ReadonlyArray<number>) => all.map((event) => ({ data: { event } }))

withLayer("a subscription", Broadcast.layerLocal, (it) => {
  it("has no fiber while it waits, however many there are", () =>
    Effect.gen(function* () {
      const broadcast = yield* Broadcast.Broadcast
      const { fibers, reader, running, told } = yield* reading
      const subscriptions = Array.from({ length: 100 }, () => begin(topic(broadcast), reader))
      expect([fibers.length, running(), told.length]).toEqual([100, 0, 0])
      yield* broadcast.publish("topic", 1)
      expect([running(), told.length]).toEqual([0, 100])
      for (const subscription of subscriptions) subscription.close()
      yield* broadcast.publish("topic", 2)
      expect([running(), told.length]).toEqual([0, 100])
    }))

  it("tells its reader one after the other, in order, and waits for a slow one", () =>
    Effect.gen(function* () {
      const broadcast = yield* Broadcast.Broadcast
      const { holdUp, reader, running, told } = yield* reading
      begin(topic(broadcast), reader)
      const taken = yield* Deferred.make<void>()
      holdUp(Deferred.await(taken))
      for (const n of [1, 2, 3]) yield* broadcast.publish("topic", n)
      expect([running(), told]).toEqual([1, events(1)])
      holdUp(Effect.void)
      yield* Deferred.succeed(taken, undefined)
      yield* Effect.yieldNow()
      expect([running(), told]).toEqual([0, events(1, 2, 3)])
    }))

  it("closes what it holds open when it is closed, even while its reader holds it up", () =>
    Effect.gen(function* () {
      const broadcast = yield* Broadcast.Broadcast
      const { holdUp, reader, running, told } = yield* reading
      counts.length = 0
      const subscription = new Subscription(topic(broadcast), reader)
      holdUp(Effect.never)
      yield* broadcast.publish("topic", 1)
      subscription.close()
      yield* Effect.yieldNow()
      yield* broadcast.publish("topic", 2)
      expect([running(), told, counts]).toEqual([0, events(1), [1, -1]])
    }))

  it("tells a stream to its end, or to its failure", () =>
    Effect.gen(function* () {
      const { reader, running, told } = yield* reading
      const of = (stream: Stream.Stream<number, SessionExpired>) => source((wake) => Feed.fromStream(stream, wake))
      begin(of(Stream.make(1, 2)), reader)
      begin(of(Stream.concat(Stream.make(3), Stream.fail(new SessionExpired()))), reader)
      yield* Effect.repeat(Effect.yieldNow(), { until: () => told.length === 5 && running() === 0 })
      expect(told.filter((one) => typeof one === "string").sort()).toEqual([
        "The session has ended: sign in again",
        "end"
      ])
      expect(told.slice(0, -1)).toEqual(expect.arrayContaining(events(1, 2, 3)))
    }))
})
