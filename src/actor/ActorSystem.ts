import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { Cells, within } from "./local/Cells.ts"
import { DeadLetters, type DeadLetter } from "./local/DeadLetters.ts"
import type { Activate, Behaviour, Definition } from "./Definition.ts"
import type { Shared } from "./local/Kind.ts"
import { Message, type Outcome } from "./local/Message.ts"
import { ActorStopped } from "../errors.ts"
import type { Stats } from "./local/Tally.ts"
import type { Opened } from "./local/Turns.ts"

export type { Stats } from "./local/Tally.ts"
export type { DeadLetter } from "./local/DeadLetters.ts"

/** A failure that its actor type hands to the program. */
export interface Escalation {
  readonly actor: string
  readonly cause: Cause.Cause<unknown>
}

/** How the durable messages of this process's actors are handled. */
export interface DurableHandler {
  readonly ask: (
    definition: Definition,
    id: string,
    key: string,
    tag: string,
    payload: unknown
  ) => Effect.Effect<unknown, unknown>
  /** Messages for actors of this process were kept by another one. */
  readonly wake: () => void
}

/**
 * Where the actors live. Programs use it through `client` and `toLayer` of `Actor.make(…)`, which know the types; this
 * is the untyped side that a backend implements.
 */
export class ActorSystem extends Context.Tag("@connect/ActorSystem")<
  ActorSystem,
  {
    /** Serves a type from this process for as long as the scope lives; then its actors finish and stop. */
    readonly register: <R>(
      definition: Definition,
      activate: Activate,
      context: Context.Context<R>
    ) => Effect.Effect<void, never, Scope.Scope>
    readonly ask: (definition: Definition, id: string, tag: string, payload: unknown) => Effect.Effect<unknown, unknown>
    readonly stream: (
      definition: Definition,
      id: string,
      tag: string,
      payload: unknown
    ) => Stream.Stream<unknown, unknown>
    readonly tell: (definition: Definition, id: string, tag: string, payload: unknown) => Effect.Effect<void, unknown>
    /** Does something in a turn of an actor that lives in this process, and calls back when the turn has ended. */
    readonly begin: (
      definition: Definition,
      id: string,
      work: (behaviour: Behaviour) => Effect.Effect<unknown, unknown>,
      settled: (outcome: Outcome) => void
    ) => void
    /** Whether the actor lives in this process now. */
    readonly owns: (definition: Definition, id: string) => boolean
    /** The shards of the type that live in this process, each with the term of its stay; undefined when all of them do. */
    readonly owned: (definition: Definition) => ReadonlyMap<number, number> | undefined
    /** Takes the durable messages that other processes relay to this one, for as long as the scope lives. */
    readonly serveDurable: (handler: DurableHandler) => Effect.Effect<void, never, Scope.Scope>
    /** Has a durable message handled where its actor lives: tried again until it is, since its key makes that safe. */
    readonly relay: DurableHandler["ask"]
    /** Tells the process where the actor lives that a message for it was kept. */
    readonly wake: (definition: Definition, id: string) => void
    /** The nodes of the cluster with their shards; none without a cluster. */
    readonly placement: Effect.Effect<ReadonlyArray<Placement>>
    /** Whether that actor is active, without activating it. */
    readonly isActive: (definition: Definition, id: string) => Effect.Effect<boolean>
    /** The type of that name, when it is registered here. */
    readonly definition: (name: string) => Effect.Effect<Definition | undefined>
    /** One entry for each type that is registered here. */
    readonly stats: Effect.Effect<ReadonlyArray<Stats>>
    /** The last messages that failed with a defect, oldest first, `deadLettersMax` at most. */
    readonly deadLetters: Effect.Effect<ReadonlyArray<DeadLetter>>
    /** Completes when an actor with the strategy `escalate` has failed. Race the program with it. */
    readonly escalated: Effect.Effect<Escalation>
    /** Puts away this share (0 to 1) of the actors, of those that are idle, the longest idle first: when memory is short. */
    readonly shed: (share: number) => Effect.Effect<number>
    /**
     * Finishes the mailboxes, then stops every actor. What is not done at the deadline is interrupted and answered with
     * ActorStopped; returns at most half a second after it. The number is of actors that were given up.
     */
    readonly drain: (deadline: Duration.DurationInput) => Effect.Effect<number>
  }
>() {}

/** How many shards of a group a node has. */
export interface Placement {
  readonly group: string
  /** `host:port`. */
  readonly node: string
  readonly shards: number
}

export interface Options {
  /** Time the actors get to finish when the layer is released, or at a drain that names no other. */
  readonly drainTimeout: Duration.DurationInput
  /** Time that finalizers get after that. */
  readonly grace: Duration.DurationInput
}

export const defaults: Options = { drainTimeout: "5 seconds", grace: "250 millis" }

type Types = Map<string, Cells>

const notServed = ({ name }: Definition): string => `Actor ${name} is not served here: provide its toLayer(…)`

const cellsOf = (types: Types, definition: Definition): Cells => {
  const cells = types.get(definition.name)
  if (cells === undefined) throw new Error(notServed(definition))
  return cells
}

/** What becomes of a message whose actor went elsewhere before its turn came. */
type Moved = () => Effect.Effect<unknown, unknown>

/** Whether the message was refused before its turn because its actor has stopped or gone. */
const isUntouched = (message: Message, outcome: Outcome): boolean =>
  !message.begun &&
  outcome._tag === "Failure" &&
  outcome.cause._tag === "Fail" &&
  outcome.cause.error instanceof ActorStopped

const send = (
  types: Types,
  definition: Definition,
  id: string,
  tag: string,
  payload: unknown,
  ask: boolean,
  moved?: Moved
) =>
  Effect.withFiberRuntime<unknown, unknown>((fiber) => {
    const cells = cellsOf(types, definition)
    const span = fiber.currentSpan
    const trace = span !== undefined && span.sampled ? { span, tracer: fiber.currentTracer } : undefined
    const message = new Message(tag, payload, ask, trace)
    cells.offer(id, message)
    if (message.outcome !== undefined) return message.outcome
    if (!ask && message.accepted) return Effect.void
    return Effect.async<unknown, unknown>((resume) => {
      if (message.outcome !== undefined) return resume(message.outcome)
      message.onSettled =
        moved === undefined
          ? resume
          : (outcome) => resume(isUntouched(message, outcome) ? Effect.suspend(moved) : outcome)
      if (!ask) message.onAccepted = () => resume(Effect.void)
      return Effect.sync(() => cells.abandon(message))
    })
  })

/** Puts a message in a mailbox and calls back once: with its outcome, or when the mailbox has it and nobody asks more. */
const deliver = (
  types: Types,
  definition: Definition,
  id: string,
  message: Message,
  settled: (outcome: Outcome, untouched: boolean) => void
): void => {
  const tell = (outcome: Outcome) => settled(outcome, isUntouched(message, outcome))
  cellsOf(types, definition).offer(id, message)
  if (message.outcome !== undefined) return tell(message.outcome)
  if (!message.ask && message.accepted) return tell(Exit.void)
  message.onSettled = tell
  if (!message.ask) message.onAccepted = () => message.settle(Exit.void)
}

const register = <R>(
  types: Types,
  shared: Shared,
  stop: (cells: Cells) => Effect.Effect<unknown>,
  definition: Definition,
  activate: Activate,
  services: Context.Context<R>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    if (types.has(definition.name)) return yield* Effect.dieMessage(`Actor ${definition.name} is served twice`)
    const { fiberRefs: inherited, runtimeFlags } = yield* Effect.runtime<never>()
    // A ManagedRuntime builds its layers on a scheduler of its own, which is not meant for what lives on.
    const builder = FiberRefs.getOrDefault(inherited, FiberRef.currentScheduler) instanceof Scheduler.SyncScheduler
    const fiberRefs = builder ? FiberRefs.delete(inherited, FiberRef.currentScheduler) : inherited
    // The scope and the span of the layer are not the actors': they would see them as their own.
    const context = Context.omit(Scope.Scope, Tracer.ParentSpan)(services as Context.Context<never>) as typeof services
    const own = context as Context.Context<never>
    const runtime = Runtime.make({ context: own, fiberRefs, runtimeFlags })
    const cells = new Cells({ definition, activate, context: own }, runtime, yield* Effect.clock, shared)
    types.set(definition.name, cells)
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(
        stop(cells),
        Effect.sync(() => types.delete(definition.name))
      )
    )
  })

/** Completes when no actor of any type has work: one that finishes may give work to another. */
const whenQuiet = (all: Iterable<Cells>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const busy = Array.from(all).filter((cells) => !cells.isQuiet)
    if (busy.length === 0) return Effect.void
    return Effect.zipRight(
      Effect.forEach(busy, (cells) => cells.whenQuiet, { discard: true }),
      Effect.zipRight(Effect.yieldNow(), whenQuiet(all))
    )
  })

/** The local backend itself, for another one to build on. */
export const make = (options: Partial<Options> = {}) =>
  Effect.gen(function* () {
    const { drainTimeout, grace } = { ...defaults, ...options }
    const types: Types = new Map()
    const escalation = yield* Deferred.make<Escalation>()
    const deadLetters = new DeadLetters()
    const clock = yield* Effect.clock
    const shared: Shared = {
      deadLetters,
      escalate: (actor, cause) => Deferred.unsafeDone(escalation, Effect.succeed({ actor, cause })),
      nested: 0
    }
    let deadline: number | undefined
    /** Layers are released one after the other; all share the deadline that the first one set. */
    const stopAll = (all: ReadonlyArray<Cells>, limit: Duration.DurationInput) =>
      Effect.suspend(() => {
        const now = clock.unsafeCurrentTimeMillis()
        deadline ??= now + Duration.toMillis(limit)
        for (const cells of all) cells.hurry()
        return whenQuiet(all).pipe(
          within(Math.max(0, deadline - now)),
          Effect.zipRight(
            Effect.forEach(all, (cells) => cells.stop(Duration.toMillis(grace)), { concurrency: "unbounded" })
          ),
          Effect.map((given) => given.reduce((sum, n) => sum + n, 0))
        )
      })

    const system = ActorSystem.of({
      register: (definition, activate, context) =>
        register(types, shared, (cells) => stopAll([cells], drainTimeout), definition, activate, context),
      ask: (definition, id, tag, payload) => send(types, definition, id, tag, payload, true),
      tell: (definition, id, tag, payload) => Effect.asVoid(send(types, definition, id, tag, payload, false)),
      stream: (definition, id, tag, payload) =>
        Stream.unwrap(
          Effect.map(send(types, definition, id, tag, payload, true), (opened) =>
            cellsOf(types, definition).stream(opened as Opened)
          )
        ),
      begin: (definition, id, work, settled) => {
        const message = new Message("begin", undefined, true, undefined)
        message.work = work
        message.onSettled = settled
        cellsOf(types, definition).offer(id, message)
      },
      owns: (definition) => types.has(definition.name),
      owned: () => undefined,
      serveDurable: () => Effect.void,
      relay: (definition) => Effect.dieMessage(notServed(definition)),
      wake: () => {},
      placement: Effect.succeed([]),
      isActive: (definition, id) => Effect.sync(() => types.get(definition.name)?.isActive(id) ?? false),
      definition: (name) => Effect.sync(() => types.get(name)?.definition),
      stats: Effect.sync(() => Array.from(types.values(), (cells) => cells.stats())),
      deadLetters: Effect.sync(() => deadLetters.list()),
      escalated: Deferred.await(escalation),
      shed: (share) =>
        Effect.map(
          Effect.forEach(types.values(), (cells) => cells.putAway(Math.ceil(cells.stats().active * share))),
          (counts) => counts.reduce((sum, n) => sum + n, 0)
        ),
      drain: (limit) => Effect.suspend(() => stopAll(Array.from(types.values()), limit))
    })
    return {
      ...system,
      /** As `ask`, or what `moved` gives when the actor goes elsewhere before the message's turn has come. */
      askUnless: (definition: Definition, id: string, tag: string, payload: unknown, moved: Moved) =>
        send(types, definition, id, tag, payload, true, moved),
      /**
       * Calls back once, with the outcome of the message or when the mailbox has it and nobody asks more, and says
       * whether it was refused before its turn.
       */
      deliver: (
        definition: Definition,
        id: string,
        message: Message,
        settled: (outcome: Outcome, untouched: boolean) => void
      ): void => deliver(types, definition, id, message, settled),
      /** Ends the activations of that type whose id does not belong here any more, within about `graceMillis`. */
      disown: (name: string, belongs: (id: string) => boolean, graceMillis: number): Effect.Effect<void> =>
        Effect.suspend(() => types.get(name)?.disown(belongs, graceMillis) ?? Effect.void)
    }
  })

/** Actors in this process. */
export const layerLocalWith = (options: Partial<Options>): Layer.Layer<ActorSystem> =>
  Layer.effect(ActorSystem, make(options))

/** Actors in this process, with five seconds to finish when the layer is released. */
export const layerLocal: Layer.Layer<ActorSystem> = layerLocalWith({})

/** Actors in this process that are given up at once when the layer is released: nobody moves a test's clock then. */
export const layerTest: Layer.Layer<ActorSystem> = layerLocalWith({ drainTimeout: 0, grace: 0 })
