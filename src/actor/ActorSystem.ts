import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { Cells, type Opened, type Shared, type Stats } from "./Cells.ts"
import { DeadLetters, type DeadLetter } from "./DeadLetters.ts"
import type { Activate, Definition } from "./Definition.ts"
import { Message } from "./Message.ts"

export type { Stats } from "./Cells.ts"
export type { DeadLetter } from "./DeadLetters.ts"

/** A failure that its actor type hands to the program. */
export interface Escalation {
  readonly actor: string
  readonly cause: Cause.Cause<unknown>
}

/**
 * Where the actors live. Programs use it through `Actor.make(…)`'s `client` and `toLayer`, which know the types; this
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
    /** Whether that actor is active, without activating it. */
    readonly isActive: (definition: Definition, id: string) => Effect.Effect<boolean>
    /** One entry for each type that is registered here. */
    readonly stats: Effect.Effect<ReadonlyArray<Stats>>
    /** The last messages that failed with a defect, oldest first, `deadLettersMax` at most. */
    readonly deadLetters: Effect.Effect<ReadonlyArray<DeadLetter>>
    /** Completes when an actor with the strategy `escalate` has failed. Race the program with it. */
    readonly escalated: Effect.Effect<Escalation>
    /**
     * Finishes the mailboxes, then stops every actor. What is not done at the deadline is interrupted and answered with
     * ActorStopped; returns at most half a second after it. The number is of actors that were given up.
     */
    readonly drain: (deadline: Duration.DurationInput) => Effect.Effect<number>
  }
>() {}

export interface Options {
  /** Time the actors get to finish when the layer is released. */
  readonly drainTimeout?: Duration.DurationInput
}

/** Time the actors get to finish unless told otherwise. */
export const drainTimeoutDefault = Duration.seconds(5)

const make = (options: Options) =>
  Effect.gen(function* () {
    const types = new Map<string, Cells>()
    const escalation = yield* Deferred.make<Escalation>()
    const deadLetters = new DeadLetters()
    const clock = yield* Effect.clock
    const drainMillis = Duration.toMillis(options.drainTimeout ?? drainTimeoutDefault)
    let deadline: number | undefined
    const shared: Shared = {
      deadLetters,
      escalate: (actor, cause) => Deferred.unsafeDone(escalation, Effect.succeed({ actor, cause })),
      nested: 0
    }
    const cellsOf = (definition: Definition): Cells => {
      const cells = types.get(definition.name)
      if (cells === undefined) throw new Error(`Actor ${definition.name} is not served here: provide its toLayer(…)`)
      return cells
    }
    /** All types share one deadline, however many layers are released one after the other. */
    const closeCells = (cells: Cells, millis: number) =>
      Effect.suspend(() => cells.close((deadline ??= clock.unsafeCurrentTimeMillis() + millis)))

    const send = (definition: Definition, id: string, tag: string, payload: unknown, ask: boolean) =>
      Effect.withFiberRuntime<unknown, unknown>((fiber) => {
        const cells = cellsOf(definition)
        const span = fiber.currentSpan
        const message = new Message(tag, payload, ask, span !== undefined && span.sampled ? span : undefined)
        cells.offer(id, message)
        if (message.outcome !== undefined) return message.outcome
        if (!ask && message.accepted) return Effect.void
        return Effect.async<unknown, unknown>((resume) => {
          if (message.outcome !== undefined) return resume(message.outcome)
          message.onSettled = resume
          if (!ask) message.onAccepted = () => resume(Effect.void)
          return Effect.sync(() => cells.abandon(message))
        })
      })

    return ActorSystem.of({
      register: (definition, activate, context) =>
        Effect.gen(function* () {
          if (types.has(definition.name)) return yield* Effect.dieMessage(`Actor ${definition.name} is served twice`)
          const runtime = yield* Effect.runtime<never>()
          const own = Context.omit(
            Scope.Scope,
            Tracer.ParentSpan
          )(context as Context.Context<never>) as Context.Context<never>
          const cells = new Cells(
            { definition, activate, context: own },
            Runtime.make({ context: own, fiberRefs: runtime.fiberRefs, runtimeFlags: runtime.runtimeFlags }),
            yield* Effect.clock,
            shared
          )
          types.set(definition.name, cells)
          yield* Effect.addFinalizer(() =>
            Effect.zipRight(
              closeCells(cells, drainMillis),
              Effect.sync(() => types.delete(definition.name))
            )
          )
        }),
      ask: (definition, id, tag, payload) => send(definition, id, tag, payload, true),
      tell: (definition, id, tag, payload) => Effect.asVoid(send(definition, id, tag, payload, false)),
      stream: (definition, id, tag, payload) =>
        Stream.unwrap(
          Effect.map(send(definition, id, tag, payload, true), (opened) => cellsOf(definition).open(opened as Opened))
        ),
      isActive: (definition, id) => Effect.sync(() => types.get(definition.name)?.isActive(id) ?? false),
      stats: Effect.sync(() => Array.from(types.values(), (cells) => cells.stats())),
      deadLetters: Effect.sync(() => deadLetters.list()),
      escalated: Deferred.await(escalation),
      drain: (within) =>
        Effect.forEach(types.values(), (cells) => closeCells(cells, Duration.toMillis(within)), {
          concurrency: "unbounded"
        }).pipe(Effect.map((given) => given.reduce((sum, n) => sum + n, 0)))
    })
  })

/** Actors in this process. */
export const layerLocalWith = (options: Options): Layer.Layer<ActorSystem> => Layer.effect(ActorSystem, make(options))

/** Actors in this process, with five seconds to finish when the layer is released. */
export const layerLocal: Layer.Layer<ActorSystem> = layerLocalWith({})
