import type * as Rpc from "@effect/rpc/Rpc"
import * as RpcSchema from "@effect/rpc/RpcSchema"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { constFalse } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ActorCrashed, ActorStopped, AskTimeout, MailboxFull } from "../errors.ts"
import { ActorSystem } from "./ActorSystem.ts"
import {
  type Activate,
  capacityDefault,
  type Definition,
  type Encoded,
  groupDefault,
  type Later,
  type Self,
  type WhenFull
} from "./Definition.ts"
import type * as SchemaVersion from "./SchemaVersion.ts"
import * as Supervision from "./Supervision.ts"

export type { Later, Self } from "./Definition.ts"

/** What can come of a call besides the protocol's own errors. */
export type Failure = MailboxFull | ActorStopped | ActorCrashed | AskTimeout

export interface Options<Protocol extends ReadonlyArray<Rpc.Any>> {
  readonly protocol: Protocol
  /**
   * Each change of the protocol adds what turns the tag and the encoded payload of before into those of after: durable
   * messages and reminders that an older program has left are brought forward by it.
   */
  readonly messages?: { readonly migrations: SchemaVersion.Migrations<Encoded> }
  readonly mailbox?: { readonly capacity?: number; readonly whenFull?: WhenFull }
  readonly supervision?: Supervision.Options
  /** Time without a message after which the actor is passivated. Infinity keeps it. */
  readonly idle?: Duration.DurationInput
  readonly askTimeout?: Duration.DurationInput
  /** The shard group in a cluster: only nodes that serve it have the actor. */
  readonly group?: string
}

/**
 * Marks a message that may be handled twice without harm: `Rpc.make("Holder").annotate(Actor.Idempotent, true)`. A call
 * of it that broke on its way to another node is made again.
 */
export class Idempotent extends Context.Reference<Idempotent>()("@connect/actor/Idempotent", {
  defaultValue: constFalse
}) {}

type IsStream<R extends Rpc.Any> = Rpc.SuccessSchema<R> extends RpcSchema.Stream<infer _A, infer _E> ? true : false

type Reply<R extends Rpc.Any, Env> =
  IsStream<R> extends true
    ? | Stream.Stream<Rpc.SuccessChunk<R>, Rpc.ErrorExit<R>, Env>
      | Effect.Effect<Stream.Stream<Rpc.SuccessChunk<R>, Rpc.ErrorExit<R>, Env>, Rpc.ErrorExit<R>, Env>
    : | Effect.Effect<Rpc.Success<R> | Later<Rpc.Success<R>, Rpc.Error<R>, Env>, Rpc.Error<R>, Env>
      | Later<Rpc.Success<R>, Rpc.Error<R>, Env>

/** What an activation is made of: a function for each message of the protocol. */
export type Handlers<Rpcs extends Rpc.Any, Env = unknown> = {
  readonly [R in Rpcs as R["_tag"]]: (payload: Rpc.Payload<R>) => Reply<R, Env>
}

type EnvOf<H> = {
  [K in keyof H]: H[K] extends (payload: never) => infer Result
    ? Result extends Effect.Effect<infer A, infer _E, infer R>
      ? R | (A extends Later<infer _LA, infer _LE, infer LR> ? LR : never)
      : Result extends Later<infer _LA, infer _LE, infer LR>
        ? LR
        : Result extends Stream.Stream<infer _SA, infer _SE, infer SR>
          ? SR
          : never
    : never
}[keyof H]

type Input<R extends Rpc.Any> = [Rpc.Payload<R>] extends [void]
  ? readonly [payload?: Readonly<Record<string, never>> | void]
  : readonly [payload: Rpc.Payload<R>]

/** Calls that wait for the reply. */
export type Asks<Rpcs extends Rpc.Any> = {
  readonly [R in Rpcs as R["_tag"]]: (
    ...input: Input<R>
  ) => IsStream<R> extends true
    ? Stream.Stream<Rpc.SuccessChunk<R>, Rpc.ErrorExit<R> | Failure>
    : Effect.Effect<Rpc.Success<R>, Rpc.Error<R> | Failure>
}

/** A call for each message that is not answered with its reply. */
export type Calls<Rpcs extends Rpc.Any, E> = {
  readonly [R in Rpcs as R["_tag"]]: (...input: Input<R>) => Effect.Effect<void, E>
}

/** Calls that end when the mailbox has the message. */
export type Tells<Rpcs extends Rpc.Any> = Calls<Rpcs, MailboxFull | ActorStopped>

export interface Client<Rpcs extends Rpc.Any> {
  readonly ask: (id: string) => Asks<Rpcs>
  readonly tell: (id: string) => Tells<Rpcs>
  /** Whether the actor is active now; does not activate it. */
  readonly isActive: (id: string) => Effect.Effect<boolean>
}

/** An actor type: its protocol and its limits. */
export interface Actor<Rpcs extends Rpc.Any> {
  readonly name: string
  readonly definition: Definition
  readonly client: Effect.Effect<Client<Rpcs>, never, ActorSystem>
  /** The handlers, checked against the protocol where they are written. */
  readonly of: <H extends Handlers<Rpcs>>(handlers: H) => H
  /**
   * Serves the type from this process. `activate` runs once per activation, in a scope that closes when the actor
   * stops, restarts or goes idle. When it fails, the messages that wait are answered with ActorStopped.
   */
  readonly toLayer: <H extends Handlers<Rpcs>, E, R>(
    activate: (self: Self) => Effect.Effect<H, E, R>
  ) => Layer.Layer<never, never, ActorSystem | Exclude<R, Scope.Scope> | EnvOf<H>>
}

/** Ends the turn now and gives the reply when `effect` has it; meanwhile the actor takes its next message. */
export const later = <A, E = never, R = never>(effect: Effect.Effect<A, E, R>): Later<A, E, R> => ({
  _tag: "@connect/actor/Later",
  effect
})

/** Time without a message after which an actor is passivated, unless it says otherwise. */
export const idleDefault = Duration.minutes(2)

/** Time an asker waits, unless the actor says otherwise. */
export const askTimeoutDefault = Duration.seconds(10)

const define = (name: string, options: Options<ReadonlyArray<Rpc.Any>>): Definition => {
  const rpcs = options.protocol as unknown as ReadonlyArray<Rpc.AnyWithProps>
  const whenFull = options.mailbox?.whenFull ?? "fail"
  return {
    name,
    protocol: new Map(rpcs.map((rpc) => [rpc._tag, rpc])),
    streams: new Set(rpcs.filter((rpc) => RpcSchema.isStreamSchema(rpc.successSchema)).map((rpc) => rpc._tag)),
    idempotent: new Set(rpcs.filter((rpc) => Context.get(rpc.annotations, Idempotent)).map((rpc) => rpc._tag)),
    group: options.group ?? groupDefault,
    migrations: options.messages?.migrations ?? [],
    capacity: Math.max(1, options.mailbox?.capacity ?? capacityDefault),
    waitMillis: whenFull === "fail" ? 0 : Duration.toMillis(whenFull.waitAtMost),
    supervision: Supervision.policy(options.supervision),
    idleMillis: Duration.toMillis(options.idle ?? idleDefault),
    askTimeoutMillis: Duration.toMillis(options.askTimeout ?? askTimeoutDefault)
  }
}

type Send = (id: string, tag: string, payload: unknown) => unknown

/** A class with a method for each tag, so that `ask(id)` allocates one small object. */
const handleOf = (definition: Definition, send: Send): ((id: string) => object) => {
  class Handle {
    readonly id: string
    constructor(id: string) {
      this.id = id
    }
  }
  for (const tag of definition.protocol.keys()) {
    Object.defineProperty(Handle.prototype, tag, {
      value(this: Handle, payload: unknown) {
        return send(this.id, tag, payload)
      }
    })
  }
  return (id) => new Handle(id)
}

/** Defines an actor type. The name is unique in the program and stays the same between versions. */
export const make = <const Protocol extends ReadonlyArray<Rpc.Any>>(
  name: string,
  options: Options<Protocol>
): Actor<Protocol[number]> => {
  type Rpcs = Protocol[number]
  const definition = define(name, options)
  const client = Effect.map(ActorSystem, (system): Client<Rpcs> => {
    const ask = handleOf(definition, (id, tag, payload) =>
      definition.streams.has(tag)
        ? system.stream(definition, id, tag, payload)
        : system.ask(definition, id, tag, payload)
    )
    const tell = handleOf(definition, (id, tag, payload) => system.tell(definition, id, tag, payload))
    return {
      ask: ask as Client<Rpcs>["ask"],
      tell: tell as Client<Rpcs>["tell"],
      isActive: (id) => system.isActive(definition, id)
    }
  })
  return {
    name,
    definition,
    client,
    of: (handlers) => handlers,
    toLayer: <H extends Handlers<Rpcs>, E, R>(activate: (self: Self) => Effect.Effect<H, E, R>) =>
      Layer.scopedDiscard(
        Effect.gen(function* () {
          const system = yield* ActorSystem
          const context = yield* Effect.context<Exclude<R, Scope.Scope> | EnvOf<H>>()
          yield* system.register(definition, activate as unknown as Activate, context)
        })
      )
  }
}
