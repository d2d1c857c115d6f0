import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Supervised from "../actor/Supervised.ts"
import type { Delivery, Store } from "../store/Store.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { Topics } from "./Topics.ts"

/** Messages waiting to be sent to other processes; beyond that they are not sent and their topics see a Gap there. */
export const outgoingMax = 4_096
/** Topics whose listeners elsewhere are owed a Gap; beyond that the oldest are forgotten. */
export const missedMax = 4_096
/** Between two tries to tell of a Gap while nothing else is sent. */
export const owedPause = Duration.seconds(1)
/** Between two tries to subscribe at a store that refuses. */
export const resubscribePause = Duration.millis(500)

/** What travels: who sent it, and the message, or nothing when some were lost on the way. */
type Wire = readonly [origin: string, message: unknown] | readonly [origin: string]

interface Outgoing {
  readonly topic: string
  readonly wire: Wire
}

interface Listening {
  readonly ready: Deferred.Deferred<void>
  readonly scope: Scope.CloseableScope
  listeners: number
}

/** Between this process's topics and those of others. */
export interface Relay {
  /** Does not wait for the store. */
  readonly send: (topic: string, message: unknown) => Effect.Effect<void>
  /** Brings what others send on the topic for as long as the scope lives. Returns when the subscription stands. */
  readonly listen: (topic: string) => Effect.Effect<void, never, Scope.Scope>
}

const channel = (topic: string): string => `broadcast:${topic}`

/** One fiber sends what has gathered while the batch before was on its way, in order and pipelined. */
const sender = (store: typeof Store.Service, origin: string) =>
  Effect.gen(function* () {
    const outgoing: Array<Outgoing> = []
    const gathered = yield* Effect.makeLatch()
    const missed = new Set<string>()
    const owe = (topic: string): void => {
      missed.add(topic)
      if (missed.size > missedMax) for (const oldest of missed) return void missed.delete(oldest)
    }
    const lose = (topic: string): void => {
      Metrics.broadcastDropped.unsafeUpdate(1, [])
      owe(topic)
    }
    const deliver = ({ topic, wire }: Outgoing) =>
      Effect.match(store.publish(channel(topic), JSON.stringify(wire)), {
        onSuccess: () => true,
        onFailure: () => {
          if (wire.length === 1) owe(topic)
          else lose(topic)
          return false
        }
      })
    const deliverAll = (batch: Iterable<Outgoing>) => Effect.forEach(batch, deliver, { concurrency: "unbounded" })
    const deliverOwed = Effect.suspend(() => {
      const owed = [...missed].map((topic): Outgoing => ({ topic, wire: [origin] }))
      missed.clear()
      return deliverAll(owed)
    })
    const batch = Effect.gen(function* () {
      gathered.unsafeClose()
      const sent = yield* deliverAll(outgoing.splice(0))
      if (missed.size > 0 && (sent.length === 0 || sent.includes(true))) yield* deliverOwed
    })
    /** What is owed does not wait for the next message, which may be long in coming. */
    const next = Effect.suspend(() =>
      missed.size === 0 ? gathered.await : Effect.timeoutOption(gathered.await, owedPause)
    )
    // A command publishes and ends: it is heard all the same. What was taken is sent, for the same reason.
    yield* Effect.addFinalizer(() => batch)
    yield* Supervised.fork({
      name: "broadcast sender",
      effect: Effect.forever(Effect.zipRight(next, Effect.uninterruptible(batch)))
    })
    return (topic: string, message: unknown) =>
      Effect.sync(() => {
        if (outgoing.length >= outgoingMax) return lose(topic)
        outgoing.push({ topic, wire: [origin, message] })
        gathered.unsafeOpen()
      })
  })

const receiver = (store: typeof Store.Service, origin: string, topics: Topics) => {
  const listening = new Map<string, Listening>()
  const receive = (topic: string, delivery: Delivery): void => {
    if (delivery._tag === "Gap") return topics.miss(topic)
    const wire = JSON.parse(delivery.payload) as Wire
    if (wire[0] === origin) return
    if (wire.length === 1) topics.miss(topic)
    else topics.deliver(topic, wire[1])
  }
  const subscribe = (topic: string, { ready, scope }: Listening) =>
    Effect.gen(function* () {
      const subscribed = store.subscribe(channel(topic), (delivery) => receive(topic, delivery))
      yield* Scope.extend(subscribed, scope)
      // Not the first try: what was sent since the listeners were told to go on is lost to them.
      if (!(yield* Deferred.succeed(ready, undefined))) topics.miss(topic)
    }).pipe(
      Effect.tapError(() => Deferred.succeed(ready, undefined)),
      Effect.retry(Schedule.spaced(resubscribePause)),
      Effect.orDie
    )
  const join = (topic: string) =>
    Effect.gen(function* () {
      const there = listening.get(topic)
      if (there !== undefined) {
        there.listeners++
        return there
      }
      const made = { ready: yield* Deferred.make<void>(), scope: yield* Scope.make(), listeners: 1 }
      listening.set(topic, made)
      yield* Effect.forkIn(Effect.interruptible(subscribe(topic, made)), made.scope)
      return made
    })
  const leave = (topic: string, joined: Listening) =>
    Effect.suspend(() => {
      joined.listeners--
      if (joined.listeners > 0) return Effect.void
      listening.delete(topic)
      return Scope.close(joined.scope, Exit.void)
    })
  return (topic: string) =>
    Effect.acquireRelease(join(topic), (joined) => leave(topic, joined)).pipe(
      Effect.flatMap((joined) => Deferred.await(joined.ready))
    )
}

export const make = (store: typeof Store.Service, topics: Topics): Effect.Effect<Relay, never, Scope.Scope> =>
  Effect.gen(function* () {
    const nonce = yield* Effect.all([Random.nextIntBetween(0, 2 ** 31), Random.nextIntBetween(0, 2 ** 31)])
    const origin = nonce.map((n) => n.toString(36)).join("")
    return { send: yield* sender(store, origin), listen: receiver(store, origin, topics) }
  })
