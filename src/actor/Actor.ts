import type * as Rpc from "@effect/rpc/Rpc"
import * as RpcSchema from "@effect/rpc/RpcSchema"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { constFalse } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ActorCrashed, ActorStopped, AskTimeout, DatabaseUnavailable, MailboxFull } from "../errors.ts"
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
import { Reminders, type When } from "./Reminders.ts"
import type * as SchemaVersion from "./durable/SchemaVersion.ts"
import * as State from "./State.ts"
import type { States } from "./States.ts"
import * as Supervision from "./Supervision.ts"

export type { Later, Self } from "./Definition.ts"

/** What can come of a call besides the protocol's own errors. */
export type Failure = MailboxFull | ActorStopped | ActorCrashed | AskTimeout

export interface Options<Protocol extends ReadonlyArray<Rpc.Any>, S, I, Reminded extends string> {
  readonly protocol: Protocol
  /** What an actor keeps in Postgres: `self.state` of an activation. */
  readonly state?: State.Options<S, I>
  /** Tags of the messages that an actor may be reminded with: `self.reminders` of an activation. */
  readonly reminders?: ReadonlyArray<Reminded>
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

/** Tags whose reply is not a stream. */
type Plain<R extends Rpc.Any> = R extends Rpc.Any ? (IsStream<R> extends true ? never : R["_tag"]) : never

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

/** The reminders of one actor: messages to itself that outlive it, the process and the node. */
export interface OwnReminders<Rpcs extends Rpc.Any> {
  /**
   * Sets the reminder of that name anew: `self.reminders.set("expiry", { after: "1 hour" }).Expire()`. It is delivered
   * at least once; a repeated one that was late is not made up for.
   */
  readonly set: (name: string, when: When) => Calls<Rpcs, DatabaseUnavailable>
  readonly cancel: (name: string) => Effect.Effect<void, DatabaseUnavailable>
}

/** What an activation has by its definition. */
type Own<Rpcs extends Rpc.Any, S, Reminded extends string> = ([S] extends [never]
  ? unknown
  : { readonly state: State.Handle<S> }) &
  ([Reminded] extends [never] ? unknown : { readonly reminders: OwnReminders<Extract<Rpcs, { _tag: Reminded }>> })

/** What the definition needs to be served. */
type Needs<S, Reminded extends string> =
  | ([S] extends [never] ? never : States)
  | ([Reminded] extends [never] ? never : Reminders)

/** Calls that end when the mailbox has the message. */
export type Tells<Rpcs extends Rpc.Any> = Calls<Rpcs, MailboxFull | ActorStopped>

export interface Client<Rpcs extends Rpc.Any> {
  readonly ask: (id: string) => Asks<Rpcs>
  readonly tell: (id: string) => Tells<Rpcs>
  /** Whether the actor is active now; does not activate it. */
  readonly isActive: (id: string) => Effect.Effect<boolean>
}

/** An actor type: its protocol, what its activations have of their own and need, and its limits. */
export interface Actor<Rpcs extends Rpc.Any, Own = unknown, Needs = unknown> {
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
    activate: (self: Self & Own) => Effect.Effect<H, E, R>
  ) => Layer.Layer<never, never, ActorSystem | Needs | Exclude<R, Scope.Scope> | EnvOf<H>>
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

type AnyOptions = Options<ReadonlyArray<Rpc.Any>, unknown, unknown, string>

const define = (name: string, options: AnyOptions): Definition => {
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

const remindersOf = (definition: Definition, tags: ReadonlyArray<string>, id: string) =>
  Effect.map(Reminders, ({ cancel, set }) => ({
    set: (name: string, when: When) =>
      Object.fromEntries(
        tags.map((tag) => [tag, (payload: unknown) => set(definition, id, name, when, tag, payload)] as const)
      ),
    cancel: (name: string) => cancel(definition, id, name)
  }))

/** An activation that has what its definition says, from the services that the layer of the actor has taken. */
const equip = (definition: Definition, { reminders, state }: AnyOptions, activate: Activate): Activate => {
  if (state === undefined && reminders === undefined) return activate
  const open = state && State.opener(state)
  const equipped = (self: Self) =>
    Effect.gen(function* () {
      return yield* activate({
        ...self,
        ...(open && { state: yield* open(self) }),
        ...(reminders && { reminders: yield* remindersOf(definition, reminders, self.id) })
      })
    })
  return equipped as unknown as Activate
}

/** Defines an actor type. The name is unique in the program and stays the same between versions. */
export const make = <
  const Protocol extends ReadonlyArray<Rpc.Any>,
  S = never,
  I = never,
  const Reminded extends Plain<Protocol[number]> = never
>(
  name: string,
  options: Options<Protocol, S, I, Reminded>
): Actor<Protocol[number], Own<Protocol[number], S, Reminded>, Needs<S, Reminded>> => {
  type Rpcs = Protocol[number]
  const untyped = options as unknown as AnyOptions
  const definition = define(name, untyped)
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
    toLayer: <H extends Handlers<Rpcs>, E, R>(
      activate: (self: Self & Own<Rpcs, S, Reminded>) => Effect.Effect<H, E, R>
    ) =>
      Layer.scopedDiscard(
        Effect.gen(function* () {
          const system = yield* ActorSystem
          const context = yield* Effect.context<Needs<S, Reminded> | Exclude<R, Scope.Scope> | EnvOf<H>>()
          yield* system.register(definition, equip(definition, untyped, activate as unknown as Activate), context)
        })
      )
  }
}
