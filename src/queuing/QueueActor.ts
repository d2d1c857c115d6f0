import * as Rpc from "@effect/rpc/Rpc"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Actor from "../actor/Actor.ts"
import { ActorSystem } from "../actor/ActorSystem.ts"
import * as Supervised from "../actor/Supervised.ts"
import { Broadcast, type Signal, signals } from "../broadcast/Broadcast.ts"
import { Settings } from "../config/Settings.ts"
import * as Ids from "../domain/Ids.ts"
import { TicketId, UserId } from "../domain/Ids.ts"
import { Conflict, DatabaseUnavailable, NotFound, QueueFull } from "../errors.ts"
import * as Admission from "./Admission.ts"
import { Explanation } from "./Explanation.ts"
import * as Lobby from "./Lobby.ts"
import * as Reconciliation from "./Reconciliation.ts"
import * as Settlement from "./Settlement.ts"
import { queueTopic, type QueueSignal } from "./Signal.ts"
import { Ticket } from "./Ticket.ts"

/** The one pool of today. */
export const defaultPool = "default"

/** Joins and leaves that may wait in one process; more are refused with MailboxFull. */
export const mailboxCapacity = 8_192

/**
 * The queue: the index of everyone who waits and the only writer of joins, leaves and claims. A cluster has one; without
 * a cluster each process that matches has its own, and the database decides between them. Its state comes back from
 * Postgres, so it may move to another node.
 */
export const QueueActor = Actor.make("Queue", {
  protocol: [
    Rpc.make("Join", {
      payload: {
        userId: UserId,
        clientKey: Schema.String,
        interests: Schema.Array(Schema.String),
        languages: Schema.Array(Schema.String),
        region: Schema.NullOr(Schema.String)
      },
      success: Ticket,
      error: Schema.Union(Conflict, QueueFull, NotFound, DatabaseUnavailable)
    }).annotate(Actor.Idempotent, true),
    Rpc.make("Leave", { payload: { userId: UserId }, success: Schema.Boolean, error: DatabaseUnavailable }).annotate(
      Actor.Idempotent,
      true
    ),
    Rpc.make("Process", { error: DatabaseUnavailable }).annotate(Actor.Idempotent, true),
    Rpc.make("Explain", { payload: { ticketId: TicketId }, success: Schema.OptionFromNullOr(Explanation) }).annotate(
      Actor.Idempotent,
      true
    )
  ],
  group: "queuing",
  mailbox: { capacity: mailboxCapacity },
  idle: Number.POSITIVE_INFINITY
})

/** Applies what other processes say. After a gap nobody knows what was said, so the index is compared at once. */
const follow = (lobby: Lobby.Lobby, pass: Effect.Effect<void, DatabaseUnavailable>) => (signal: Signal<QueueSignal>) =>
  Effect.gen(function* () {
    if (signal._tag === "Gap") return yield* Effect.ignoreLogged(pass)
    const { message } = signal
    switch (message._tag) {
      case "Blocked":
        lobby.index.avoid(message.blockerId, message.blockedId, Number.POSITIVE_INFINITY)
        break
      case "Unblocked":
        yield* lobby.advance
        lobby.index.reconcile(message.blockerId, message.blockedId)
        break
      case "TicketsGone":
        if (message.from === lobby.self) return
        for (const id of message.ticketIds) lobby.withdraw(id)
        break
      case "TicketsJoined":
        if (message.from === lobby.self) return
        yield* lobby.advance
        for (const { avoid, ...entrant } of message.tickets) {
          const apart = avoid.map(([userId, until]) => ({ userId, until: until ?? Number.POSITIVE_INFINITY }))
          lobby.enter(entrant, apart, true)
        }
    }
    lobby.stir()
  })

const behaviour = Effect.gen(function* () {
  const broadcast = yield* Broadcast
  const lobby = yield* Lobby.make
  // At most two wait: the pass of the interval and the one that follows a gap.
  const turn = yield* Effect.makeSemaphore(1)
  const pass = turn.withPermits(1)(Reconciliation.pass(lobby))

  const told = yield* signals<QueueSignal>(broadcast, queueTopic)
  yield* pass
  yield* Reconciliation.announce(lobby)
  const admission = yield* Admission.make(lobby)
  const restart = { intensity: 10, window: "1 minute", backoff: { initial: "100 millis", max: "10 seconds" } } as const
  yield* Supervised.fork({ name: "queue claims", effect: Settlement.make(lobby), restart })
  yield* Supervised.fork({ name: "queue widening", effect: Lobby.widening(lobby), restart })
  yield* Supervised.fork({ name: "queue signals", effect: Stream.runForEach(told, follow(lobby, pass)), restart })

  return QueueActor.of({
    Join: (request) =>
      Effect.gen(function* () {
        const id = yield* Ids.make(TicketId)
        const createdAt = yield* Clock.currentTimeMillis
        return Actor.later(admission.join({ ...request, id, createdAt }))
      }),
    Leave: ({ userId }) => Actor.later(admission.leave(userId)),
    Process: () => Actor.later(pass),
    Explain: ({ ticketId }) => Effect.map(lobby.advance, () => Option.fromNullable(lobby.index.explain(ticketId)))
  })
})

/** Time between two looks whether the queue has come to this node. */
const lookEvery = "500 millis"

/**
 * Goes over the queue at each interval, on the node that has it: after a failover that wakes it up there. While the
 * database or the actor is away it says so and goes on.
 */
const processing = Effect.gen(function* () {
  const { queuing } = yield* Settings
  const system = yield* ActorSystem
  const queue = (yield* QueueActor.client).ask(defaultPool)
  const pass = Effect.catchAll(queue.Process(), (error) => Effect.logWarning("A pass over the queue failed", error))
  yield* Supervised.fork({
    name: "queue processing",
    effect: Effect.forever(
      Effect.suspend(() =>
        system.owns(QueueActor.definition, defaultPool)
          ? Effect.zipRight(pass, Effect.sleep(queuing.interval))
          : Effect.sleep(lookEvery)
      )
    ),
    restart: { intensity: 5, window: "1 minute", backoff: { initial: "100 millis", max: "10 seconds" } }
  })
})

/** Serves the queue and keeps it going. */
export const layer = Layer.scopedDiscard(processing).pipe(Layer.provideMerge(QueueActor.toLayer(() => behaviour)))
