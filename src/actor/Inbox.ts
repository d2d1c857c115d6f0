import type * as Rpc from "@effect/rpc/Rpc"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ActorCrashed, Conflict, DatabaseUnavailable } from "../errors.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { Actor, Asks, Calls, Failure } from "./Actor.ts"
import { ActorSystem, type DurableHandler } from "./ActorSystem.ts"
import type { Definition } from "./Definition.ts"
import * as Groups from "./durable/Groups.ts"
import * as InboxQueue from "./durable/InboxQueue.ts"
import * as InboxRunner from "./durable/InboxRunner.ts"
import * as InboxTable from "./durable/InboxTable.ts"
import * as Payload from "./durable/Payload.ts"
import * as SchemaVersion from "./durable/SchemaVersion.ts"
import * as Supervised from "./Supervised.ts"
import { timeouts, Waiter, Waiters, waitersMax } from "./durable/Waiters.ts"

/** Time between two looks for messages that nobody works on. */
export const lookEvery = Duration.seconds(1)

/** A message of ours that is not handled for this long means that nothing is: the consumer starts anew. */
export const stalledAfter = Duration.seconds(30)

/** Time that a message is known after it is done: for so long a resend gets the first reply. */
export const retention = Duration.days(1)

/** Keys of late that this process remembers. */
export const recentMax = 20_000

/** Quarantined messages that are listed. */
export const quarantinedMax = 100

/**
 * Messages that must not be lost. One is accepted by a commit, together with all that arrive meanwhile; its handler's
 * state and the mark that it is done are another commit. So it is handled at least once, and its effects in Postgres
 * happen once, whatever stops in between.
 */
export class Inbox extends Context.Tag("@connect/actor/Inbox")<
  Inbox,
  {
    /** Keeps the message and waits for its reply. The same key gets the same reply. */
    readonly ask: (
      definition: Definition,
      id: string,
      key: string,
      tag: string,
      payload: unknown
    ) => Effect.Effect<unknown, unknown>
    /** Keeps the message; it is handled soon after. */
    readonly tell: (
      definition: Definition,
      id: string,
      key: string,
      tag: string,
      payload: unknown
    ) => Effect.Effect<void, DatabaseUnavailable | Conflict>
    readonly quarantined: Effect.Effect<ReadonlyArray<InboxTable.Quarantined>, DatabaseUnavailable>
    /** Tries a quarantined message again, or removes it; false when there is none of that position. */
    readonly release: (position: number) => Effect.Effect<boolean, DatabaseUnavailable>
    readonly drop: (position: number) => Effect.Effect<boolean, DatabaseUnavailable>
    /** Seconds since the oldest message that is not done was accepted. */
    readonly oldestSeconds: Effect.Effect<number, DatabaseUnavailable>
    /** Takes up what a process that has gone left behind; the result is how many. The layer does it every second. */
    readonly recover: Effect.Effect<number, DatabaseUnavailable>
  }
>() {}

/** The durable calls of one actor type. */
export interface Client<Rpcs extends Rpc.Any> {
  readonly ask: (id: string, key: string) => DurableAsks<Rpcs>
  readonly tell: (id: string, key: string) => Calls<Rpcs, DatabaseUnavailable | Conflict>
}

type DurableAsks<Rpcs extends Rpc.Any> = {
  readonly [Tag in keyof Asks<Rpcs>]: Asks<Rpcs>[Tag] extends (...input: infer Input) => Effect.Effect<infer A, infer E>
    ? (...input: Input) => Effect.Effect<A, E | Failure | DatabaseUnavailable | Conflict>
    : never
}

export const of = <Rpcs extends Rpc.Any>(actor: Actor<Rpcs>): Effect.Effect<Client<Rpcs>, never, Inbox> =>
  Effect.map(Inbox, (inbox) => {
    const calls = (send: (tag: string, payload: unknown) => unknown) =>
      Object.fromEntries(
        Array.from(actor.definition.protocol.keys(), (tag) => [tag, (payload: unknown) => send(tag, payload)])
      )
    return {
      ask: (id, key) =>
        calls((tag, payload) => inbox.ask(actor.definition, id, key, tag, payload)) as unknown as DurableAsks<Rpcs>,
      tell: (id, key) =>
        calls((tag, payload) => inbox.tell(actor.definition, id, key, tag, payload)) as unknown as Calls<
          Rpcs,
          DatabaseUnavailable | Conflict
        >
    }
  })

interface Accepting {
  readonly definition: Definition
  readonly sent: InboxTable.Sent
  readonly waiter: Waiter | undefined
}

/** The reply that was kept. */
const stored = (definition: Definition, tag: string, known: InboxTable.Known): Effect.Effect<unknown, unknown> =>
  known.state === 2
    ? Effect.fail(new ActorCrashed({ actor: definition.name }))
    : Effect.flatten(
        Effect.orDie(Schema.decodeUnknown(InboxRunner.exitSchema(definition.protocol.get(tag)!))(known.reply))
      )

const sentOf = (definition: Definition, id: string, key: string, tag: string, payload: unknown) =>
  Effect.map(Payload.encode(definition.protocol.get(tag)!, payload), (encoded): InboxTable.Sent => ({
    actor: definition.name,
    id,
    key,
    tag,
    payload: encoded,
    schemaVersion: SchemaVersion.written(definition.migrations)
  }))

/**
 * Tries a group in one commit. None for those that must be accepted first: a key that came before would undo the whole
 * group, so the ones of late are remembered and kept out of it.
 */
const handleDirectly = (
  attempt: (
    messages: ReadonlyArray<InboxTable.Sent>
  ) => Effect.Effect<ReadonlyArray<InboxRunner.Answered<InboxTable.Sent>>>
) => {
  const recent = new Set<string>()
  return (messages: ReadonlyArray<InboxTable.Sent>) =>
    Effect.suspend(() => {
      const fresh: Array<InboxTable.Sent> = []
      for (const message of messages) {
        const key = InboxTable.keyOf(message)
        if (recent.has(key)) continue
        recent.add(key)
        fresh.push(message)
      }
      for (const oldest of recent) {
        if (recent.size <= recentMax) break
        recent.delete(oldest)
      }
      return Effect.map(fresh.length === 0 ? Effect.succeed([]) : attempt(fresh), (done) => {
        const outcomes = new Map(done.map(({ message, outcome }) => [message, outcome]))
        return messages.map((message) => Exit.succeed(Option.fromNullable(outcomes.get(message))))
      })
    })
}

/** What this node works on of one type, and which time it is that each shard is here. */
interface Mine extends InboxTable.Share {
  readonly terms: ReadonlyMap<number, number> | undefined
}

const waitersFull = () => new DatabaseUnavailable({ cause: `${waitersMax} callers wait for durable messages` })

const make = Effect.gen(function* () {
  const system = yield* ActorSystem
  const table = yield* InboxTable.make
  const waiters = new Waiters()
  const runner = yield* InboxRunner.make(table, (position, outcome) => waiters.settle(position, outcome))
  const queue = yield* InboxQueue.make(runner.run)

  const accept = yield* Groups.make<Accepting, number | InboxTable.Known, DatabaseUnavailable>({
    sizeMax: InboxRunner.batchMax * 2,
    full: () => new DatabaseUnavailable({ cause: `${Groups.waitingMax} messages wait to be accepted` }),
    run: (items) => {
      const ours = new Set(
        items.filter(({ definition, sent }) => system.owns(definition, sent.id)).map(({ sent }) => sent)
      )
      const accepted = table.accept(
        items.map(({ sent }) => sent),
        (sent) => ours.has(sent)
      )
      return Effect.map(Effect.exit(accepted), (exit) => {
        if (Exit.isFailure(exit)) return items.map(() => Exit.failCause(exit.cause))
        const fresh: Array<InboxTable.Pending> = []
        for (const [index, known] of exit.value.entries()) {
          const { definition, sent, waiter } = items[index]!
          if (typeof known !== "number") continue
          if (waiter !== undefined) waiters.add(known, waiter)
          if (ours.has(sent)) fresh.push({ ...sent, position: known, attempts: 0 })
          else system.wake(definition, sent.id)
        }
        queue.enqueue(fresh)
        return exit.value.map((known) => Exit.succeed(known))
      })
    }
  })

  const send = (definition: Definition, sent: InboxTable.Sent, waiter: Waiter | undefined) =>
    Effect.flatMap(accept({ definition, sent, waiter }), (known) =>
      typeof known === "number" || known.same
        ? Effect.succeed(known)
        : new Conflict({ message: `The key ${sent.key} was used for another message` })
    )

  const direct = yield* Groups.make<InboxTable.Sent, Option.Option<InboxRunner.Outcome>, DatabaseUnavailable>({
    sizeMax: InboxRunner.batchMax,
    full: waitersFull,
    run: handleDirectly(runner.direct)
  })

  const alarms = yield* timeouts
  const outcome = (definition: Definition, position: number, waiter: Waiter) =>
    Effect.async<unknown, unknown>((resume) => {
      if (waiter.outcome !== undefined) return resume(waiter.outcome)
      const disarm = alarms(definition, waiter)
      waiter.resume = (exit) => {
        disarm()
        resume(exit)
      }
      return Effect.sync(() => {
        disarm()
        waiters.remove(position, waiter)
      })
    })

  /** The reply to a message that was sent before and is not done yet, here or in another process. */
  const elsewhere = (definition: Definition, tag: string, position: number) =>
    Effect.suspend(() => {
      const waiter = new Waiter()
      waiters.add(position, waiter)
      return Effect.raceFirst(
        outcome(definition, position, waiter),
        Effect.delay(table.find(position), "200 millis").pipe(
          Effect.repeat({ until: (known) => known === undefined || known.state !== 0 }),
          Effect.flatMap((known) =>
            known === undefined
              ? Effect.fail(new ActorCrashed({ actor: definition.name }))
              : stored(definition, tag, known)
          )
        )
      )
    })

  /** Where the actor lives. */
  const askHere: DurableHandler["ask"] = (definition, id, key, tag, payload) =>
    Effect.suspend(() => {
      if (waiters.full) return Effect.fail(waitersFull())
      return Effect.gen(function* () {
        const sent = yield* sentOf(definition, id, key, tag, payload)
        const done = yield* direct(sent)
        if (Option.isSome(done)) return yield* done.value
        const waiter = new Waiter()
        const known = yield* send(definition, sent, waiter)
        if (typeof known === "number") return yield* outcome(definition, known, waiter)
        return yield* known.state === 0 ? elsewhere(definition, tag, known.position) : stored(definition, tag, known)
      })
    })

  const woken = Effect.unsafeMakeLatch(false)
  yield* system.serveDurable({ ask: askHere, wake: () => woken.unsafeOpen() })

  const shares = Effect.gen(function* () {
    const found: Array<Mine> = []
    for (const { actor } of yield* system.stats) {
      const definition = yield* system.definition(actor)
      if (definition === undefined) continue
      const terms = system.owned(definition)
      found.push({ actor, shards: terms === undefined ? null : [...terms.keys()], terms })
    }
    return found
  })

  /** The shards of each type at the last look, with their terms. */
  let before = new Map<string, Mine["terms"]>()
  /** What came to this node since the last look: nobody works on its messages, whatever their leases say. */
  const freeGained = (mine: ReadonlyArray<Mine>) =>
    Effect.suspend(() => {
      const gained = mine.flatMap(({ actor, shards, terms }) => {
        const fresh = shards?.filter((shard) => before.get(actor)?.get(shard) !== terms?.get(shard)) ?? []
        return fresh.length === 0 ? [] : [{ actor, shards: fresh }]
      })
      const now = new Map(mine.map(({ actor, terms }) => [actor, terms]))
      const remember = Effect.sync(() => (before = now))
      return gained.length === 0 ? remember : Effect.zipRight(table.free(gained), remember)
    })

  const recover = Effect.gen(function* () {
    const mine = yield* shares
    if (mine.length === 0) return 0
    yield* freeGained(mine)
    const left = yield* table.take(mine, InboxRunner.batchMax)
    queue.enqueue(left)
    return left.length
  })

  /** The types whose oldest message waits for longer than that. */
  const stalled = (seconds: number) =>
    Effect.gen(function* () {
      const mine = yield* shares
      const ages = new Map((yield* table.ages(mine)).map((age) => [age.actor, age.seconds]))
      for (const { actor } of mine)
        Metrics.series(Metrics.actorInboxOldestSeconds, actor).unsafeUpdate(ages.get(actor) ?? 0, [])
      return Array.from(ages).flatMap(([actor, age]) => (age > seconds ? [actor] : []))
    })

  const inbox = Inbox.of({
    ask: (definition, id, key, tag, payload) =>
      Effect.suspend(() =>
        system.owns(definition, id)
          ? askHere(definition, id, key, tag, payload)
          : system.relay(definition, id, key, tag, payload)
      ),
    tell: (definition, id, key, tag, payload) =>
      Effect.flatMap(sentOf(definition, id, key, tag, payload), (sent) =>
        Effect.asVoid(send(definition, sent, undefined))
      ),
    quarantined: table.quarantined(quarantinedMax),
    release: table.release,
    drop: table.drop,
    oldestSeconds: Effect.gen(function* () {
      const ages = yield* table.ages(yield* shares)
      return Math.max(0, ...ages.map(({ seconds }) => seconds))
    }),
    recover
  })
  return { inbox, recover, stalled, woken, restart: Effect.suspend(() => table.postpone(queue.reset(), 0)) }
})

/** The oldest message of these types waits for too long: whatever handles them has come to a standstill. */
class Stalled extends Data.TaggedError("InboxStalled")<{ readonly actors: ReadonlyArray<string> }> {
  override get message() {
    return `Durable messages of ${this.actors.join(", ")} are not handled`
  }
}

/** Looks for messages, and starts anew when they are not handled within `stalledAfter`. */
const consume = ({ recover, restart, stalled, woken }: Effect.Effect.Success<typeof make>, after: Duration.Duration) =>
  Effect.gen(function* () {
    const begun = yield* Clock.currentTimeMillis
    return yield* Effect.forever(
      Effect.gen(function* () {
        woken.unsafeClose()
        const count = yield* recover
        const actors = yield* stalled(Duration.toSeconds(after))
        if (actors.length > 0 && (yield* Clock.currentTimeMillis) - begun > Duration.toMillis(after)) {
          for (const actor of actors) yield* Metric.increment(Metrics.series(Metrics.actorInboxStalls, actor))
          yield* restart
          return yield* new Stalled({ actors })
        }
        if (count < InboxRunner.batchMax) yield* Effect.raceFirst(woken.await, Effect.sleep(lookEvery))
      })
    )
  })

const forget = Effect.gen(function* () {
  const table = yield* InboxTable.make
  const now = yield* Clock.currentTimeMillis
  const before = new Date(now - Duration.toMillis(retention))
  yield* Effect.repeat(table.forget(before), { until: (count) => count < InboxTable.retentionBatch })
})

const restart = { intensity: 1_000, window: "1 minute", backoff: { initial: "1 second", max: "10 seconds" } } as const

export interface Options {
  readonly stalledAfter: Duration.DurationInput
}

/** In Postgres; handled by the process where the actor lives, or without a cluster by one that serves its type. */
export const layerWith = ({
  stalledAfter: after
}: Options): Layer.Layer<Inbox, never, SqlClient.SqlClient | ActorSystem> =>
  Layer.scoped(
    Inbox,
    Effect.gen(function* () {
      const made = yield* make
      yield* Supervised.fork({ name: "actor inbox", effect: consume(made, Duration.decode(after)), restart })
      const forgetting = Effect.forever(Effect.zipRight(forget, Effect.sleep("1 minute")))
      yield* Supervised.fork({ name: "actor inbox retention", effect: forgetting, restart })
      return made.inbox
    })
  )

export const layer = layerWith({ stalledAfter })
