import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Context from "effect/Context"
import type { ActorSystem } from "../ActorSystem.ts"
import type { Behaviour, Definition } from "../Definition.ts"
import type { Outcome } from "../local/Message.ts"
import { ActivationOver } from "../local/Turns.ts"

/** Time one actor may keep the others of its transaction waiting before it is left out of it. */
export const patience = Duration.seconds(1)

/** A handler failed with a defect: what it may have written in the transaction must not stay. */
export class Dirty extends Error {
  readonly defect: Cause.Cause<unknown>
  constructor(defect: Cause.Cause<unknown>) {
    super("A durable message failed")
    this.defect = defect
  }
}

/** One actor's share of a transaction: its messages, each an effect of its behaviour. */
export interface Share {
  readonly definition: Definition
  readonly id: string
  readonly handle: (behaviour: Behaviour) => Effect.Effect<ReadonlyArray<Outcome>>
}

/** The answers of one actor, or why it takes no part: it refuses, or it is at another message for too long. */
export type Part =
  | { readonly _tag: "Ready"; readonly replies: ReadonlyArray<Outcome> }
  | { readonly _tag: "Refused"; readonly cause: Cause.Cause<unknown> }
  | { readonly _tag: "Occupied" }

export interface Options {
  readonly system: Context.Tag.Service<typeof ActorSystem>
  /** Opens when the transaction has been committed, fails when it was not: until then the turns do not end. */
  readonly gate: Deferred.Deferred<void, ActivationOver>
  /** Whether this is the only message: then its defect is the actor's failure, and not only a reason to try it alone. */
  readonly alone: boolean
}

/** Has each share done in a turn of its actor, all at once, and gives the parts in the order of the shares. */
export const gather = (
  shares: ReadonlyArray<Share>,
  { alone, gate, system }: Options
): Effect.Effect<ReadonlyArray<Part>, Dirty> =>
  Effect.suspend(() => {
    const parts = new Map<number, Part>()
    const begun = new Set<number>()
    let end: Exit.Exit<void, Dirty> | undefined = shares.length === 0 ? Exit.void : undefined
    let tell: ((exit: Exit.Exit<void, Dirty>) => void) | undefined
    const finish = (exit: Exit.Exit<void, Dirty>) => {
      end ??= exit
      tell?.(end)
    }
    const settle = (index: number, part: Part) => {
      if (parts.has(index) || end !== undefined) return
      parts.set(index, part)
      if (parts.size === shares.length) finish(Exit.void)
    }
    const work = (index: number, share: Share) => (behaviour: Behaviour) => {
      // Left out meanwhile, or the transaction is over: nothing may be written for it any more.
      if (parts.has(index) || end !== undefined) return Effect.void
      begun.add(index)
      return Effect.flatMap(share.handle(behaviour), (replies) => {
        const defect = replies.find((reply) => Exit.isFailure(reply) && Option.isNone(Cause.failureOption(reply.cause)))
        if (defect === undefined) {
          settle(index, { _tag: "Ready", replies })
          return Effect.catchAll(Deferred.await(gate), Effect.die)
        }
        if (Exit.isFailure(defect)) finish(Exit.fail(new Dirty(defect.cause)))
        return alone ? defect : Effect.die(new ActivationOver())
      })
    }
    const wait = Effect.async<void, Dirty>((resume) => {
      if (end !== undefined) return resume(end)
      tell = resume
    })
    for (const [index, share] of shares.entries()) {
      system.begin(share.definition, share.id, work(index, share), (exit) => {
        if (Exit.isSuccess(exit)) return
        // A turn that has begun and does not end in the actor's time may have written: the transaction cannot be kept.
        if (begun.has(index) && !parts.has(index)) finish(Exit.fail(new Dirty(exit.cause)))
        else settle(index, { _tag: "Refused", cause: exit.cause })
      })
    }
    const late = Effect.suspend(() => {
      // What has begun may have written already, so it is part of the transaction however long it takes.
      for (const index of shares.keys()) if (!begun.has(index)) settle(index, { _tag: "Occupied" })
      return wait
    })
    return Effect.timeoutOption(wait, patience).pipe(
      Effect.flatMap((answer) => (answer._tag === "Some" ? Effect.void : late)),
      Effect.ensuring(Effect.sync(() => finish(Exit.void))),
      Effect.map(() => Array.from(shares.keys(), (index) => parts.get(index)!))
    )
  })
