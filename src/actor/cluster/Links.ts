import * as RunnerAddress from "@effect/cluster/RunnerAddress"
import { RpcClientProtocol } from "@effect/cluster/Runners"
import * as RpcClient from "@effect/rpc/RpcClient"
import type { RpcClientError } from "@effect/rpc/RpcClientError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as RcMap from "effect/RcMap"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { batchMax, type Envelope, Nodes } from "./Protocol.ts"

/** Time a connection to another node may take to stand. */
export const connectMax = Duration.seconds(1)

/** A connection that nobody used for this long is closed. */
export const idleMax = Duration.minutes(3)

export type Client = RpcClient.FromGroup<typeof Nodes, RpcClientError>

/** A message that is to be sent, and what it is told of it: one of the three, once. */
export interface Sending {
  readonly envelope: Envelope
  /** The node answered. */
  readonly answered: (answer: unknown) => void
  /** It has not left this process. */
  readonly unsent: () => void
  /** It may have arrived or not: the connection broke. */
  readonly lost: (cause: Cause.Cause<unknown>) => void
}

interface Outbox {
  readonly node: string
  waiting: Array<Sending>
}

/** The connections to the other nodes. */
export interface Links {
  /** Sends the message to the node, together with all that go there in the same tick. */
  readonly send: (node: string, sending: Sending) => void
  /** The client of a node, for what is not a message. Fails when there is no connection to be had. */
  readonly client: (node: string) => Effect.Effect<Client, unknown, Scope.Scope>
  /** Gives up the connection; what is under way on it is lost. */
  readonly close: (node: string) => Effect.Effect<void>
  /** The nodes that messages were sent to and not all answered yet. */
  readonly busy: () => ReadonlyArray<string>
}

const connect = (protocolTo: RpcClientProtocol["Type"], node: string) =>
  Effect.gen(function* () {
    const at = node.lastIndexOf(":")
    const protocol = yield* protocolTo(RunnerAddress.make(node.slice(0, at), Number(node.slice(at + 1))))
    const client = yield* Effect.provideService(
      RpcClient.make(Nodes, { disableTracing: true }),
      RpcClient.Protocol,
      protocol
    )
    yield* Effect.timeout(client.Hello(), connectMax)
    return client
  })

export const make: Effect.Effect<Links, never, RpcClientProtocol | Scope.Scope> = Effect.gen(function* () {
  const protocolTo = yield* RpcClientProtocol
  const runtime = yield* Effect.runtime<never>()
  const scope = yield* Effect.scope
  const outboxes = new Map<string, Outbox>()
  const underway = new Map<string, Set<Fiber.RuntimeFiber<unknown, unknown>>>()
  const clients = yield* RcMap.make({
    lookup: (node: string) => connect(protocolTo, node),
    idleTimeToLive: idleMax
  })

  const client = (node: string) => Effect.tapErrorCause(RcMap.get(clients, node), () => RcMap.invalidate(clients, node))

  const deliver = (node: string, batch: Array<Sending | undefined>) => {
    let connected = false
    const envelopes = batch.map((sending) => sending!.envelope)
    return Effect.gen(function* () {
      const { Deliver } = yield* client(node)
      connected = true
      const answers = yield* Deliver({ batch: envelopes }, { asMailbox: true, streamBufferSize: batch.length })
      for (let done = false; !done;) {
        const [chunk, over] = yield* answers.takeAll
        done = over
        for (const [place, answer] of chunk) {
          const sending = batch[place]
          batch[place] = undefined
          sending?.answered(answer)
        }
      }
    }).pipe(
      Effect.scoped,
      Effect.tapErrorCause(() => RcMap.invalidate(clients, node)),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          const cause = Exit.isFailure(exit) ? exit.cause : Cause.empty
          for (const sending of batch) {
            if (connected) sending?.lost(cause)
            else sending?.unsent()
          }
        })
      )
    )
  }

  const start = (node: string, batch: Array<Sending>) => {
    const fiber = Runtime.runFork(runtime)(deliver(node, batch), { scope })
    const others = underway.get(node) ?? new Set()
    underway.set(node, others.add(fiber))
    fiber.addObserver(() => {
      if (others.delete(fiber) && others.size === 0) underway.delete(node)
    })
  }

  const flush = (outbox: Outbox) =>
    Effect.sync(() => {
      outboxes.delete(outbox.node)
      for (let at = 0; at < outbox.waiting.length; at += batchMax)
        start(outbox.node, outbox.waiting.slice(at, at + batchMax))
    })

  return {
    send: (node, sending) => {
      const known = outboxes.get(node)
      if (known !== undefined) return void known.waiting.push(sending)
      const outbox = { node, waiting: [sending] }
      outboxes.set(node, outbox)
      // After all that is due in this tick: what they send goes along.
      Runtime.runFork(runtime)(Effect.zipRight(Effect.yieldNow({ priority: 1 }), flush(outbox)), { scope })
    },
    client,
    close: (node) =>
      Effect.zipRight(
        RcMap.invalidate(clients, node),
        Effect.sync(() => {
          for (const fiber of underway.get(node) ?? []) fiber.unsafeInterruptAsFork(FiberId.none)
        })
      ),
    busy: () => Array.from(underway.keys())
  }
})
