import type * as Rpc from "@effect/rpc/Rpc"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as SchemaVersion from "./durable/SchemaVersion.ts"
import type * as Supervision from "./Supervision.ts"

/** What to do with a message when the mailbox holds `capacity` already: fail, or let the sender wait. */
export type WhenFull = "fail" | { readonly waitAtMost: Duration.DurationInput }

/** A message as it is kept: the payload is encoded. */
export interface Encoded {
  readonly tag: string
  readonly payload: unknown
}

/** An actor type as the runtime sees it: limits in plain numbers, no types. */
export interface Definition {
  readonly name: string
  readonly protocol: ReadonlyMap<string, Rpc.AnyWithProps>
  /** Tags whose reply is a stream. */
  readonly streams: ReadonlySet<string>
  /** Tags whose message may be handled twice without harm, so that a call that broke on its way is made again. */
  readonly idempotent: ReadonlySet<string>
  /** The nodes that serve it in a cluster: those of the same shard group. */
  readonly group: string
  /** How the messages of older programs become those of this one. */
  readonly migrations: SchemaVersion.Migrations<Encoded>
  /** Messages that wait, at most. */
  readonly capacity: number
  /** Time a sender waits for room; 0 fails at once. As many senders may wait as messages. */
  readonly waitMillis: number
  readonly supervision: Supervision.Policy
  readonly idleMillis: number
  readonly askTimeoutMillis: number
}

/** The shard group of an actor that names none. */
export const groupDefault = "default"

/** Messages that wait in one mailbox unless the actor says otherwise. */
export const capacityDefault = 1_024

/** What an activation knows of itself. */
export interface Self {
  readonly id: string
  readonly actor: string
}

/** A reply that is produced after the turn has ended. */
export interface Later<out A, out E = never, out R = never> {
  readonly _tag: "@connect/actor/Later"
  readonly effect: Effect.Effect<A, E, R>
}

export const isLater = (u: unknown): u is Later<unknown, unknown> =>
  typeof u === "object" && u !== null && "_tag" in u && u._tag === "@connect/actor/Later"

/** One function per tag of the protocol. It gives an Effect, a Later or (for streamed replies) a Stream. */
export type Behaviour = Readonly<Record<string, (payload: never) => unknown>>

/** Starts one activation. Its scope closes when the actor stops, restarts or goes idle. */
export type Activate = (self: Self) => Effect.Effect<Behaviour, unknown, Scope.Scope>

/** What the program gives the runtime: how to start an actor, and the services its handlers need. */
export interface Registration {
  readonly definition: Definition
  readonly activate: Activate
  readonly context: Context.Context<never>
}
