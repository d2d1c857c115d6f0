import type * as Rpc from "@effect/rpc/Rpc"
import * as RpcModule from "@effect/rpc/Rpc"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { orUnavailable } from "../database/SqlErrors.ts"
import { ActorCrashed } from "../errors.ts"
import { ActorSystem } from "./ActorSystem.ts"
import { Baton } from "./Baton.ts"
import { type Behaviour, type Definition, isLater } from "./Definition.ts"
import type { Done, InboxTable, Pending } from "./InboxTable.ts"
import * as LazyTransaction from "./LazyTransaction.ts"
import type { Write } from "./States.ts"
import { ActivationOver } from "./Turns.ts"
import { UnitOfWork } from "./UnitOfWork.ts"

/** Messages of one transaction at most. */
export const batchMax = 256

/** Time one actor may keep the others of its transaction waiting before it is left out of it. */
export const patience = Duration.seconds(1)

/** Attempts before a message is quarantined. */
export const attemptsMax = 3

/** Time before a message is tried again that its actor did not take. */
const refusedPauseMillis = 1_000

const failureCharactersMax = 2_000

export const exitSchema = (rpc: Rpc.AnyWithProps): Schema.Schema<Outcome, unknown> =>
  RpcModule.exitSchema(rpc as unknown as Rpc.Any) as unknown as Schema.Schema<Outcome, unknown>

/** How one message ended for those who wait for it. */
export type Outcome = Exit.Exit<unknown, unknown>

type Settle = (position: number, outcome: Outcome) => void

interface Served {
  readonly definition: Definition
  readonly rpc: Rpc.AnyWithProps
}

/** A handler failed with a defect: what it may have written in the transaction must not stay. */
class Dirty extends Error {
  readonly defect: Cause.Cause<unknown>
  constructor(defect: Cause.Cause<unknown>) {
    super("A durable message failed")
    this.defect = defect
  }
}

/** The answers of one actor's part of a batch, or why it takes no part. */
type Part =
  | { readonly _tag: "Ready"; readonly replies: ReadonlyArray<Outcome> }
  | { readonly _tag: "Refused"; readonly cause: Cause.Cause<unknown> }
  | { readonly _tag: "Occupied" }

/**
 * Handles durable messages: the handlers' state, what they write and the mark that they are done go into one
 * transaction, so their effects happen once however often a message is tried.
 */
export const make = (table: InboxTable, settle: Settle) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const system = yield* ActorSystem

    const served = (message: Pending) =>
      Effect.map(system.definition(message.actor), (definition): Served | undefined => {
        const rpc = definition?.protocol.get(message.tag)
        return definition === undefined || rpc === undefined ? undefined : { definition, rpc }
      })

    const handle = (behaviour: Behaviour, message: Pending, rpc: Rpc.AnyWithProps): Effect.Effect<unknown, unknown> =>
      Schema.decodeUnknown(rpc.payloadSchema as Schema.Schema<unknown, unknown>)(message.payload).pipe(
        Effect.orDie,
        Effect.flatMap((payload) => {
          const result = behaviour[message.tag]!(payload as never)
          return Effect.isEffect(result) ? (result as Effect.Effect<unknown, unknown>) : Effect.succeed(result)
        }),
        Effect.flatMap((reply) => (isLater(reply) ? (reply.effect as Effect.Effect<unknown>) : Effect.succeed(reply)))
      )

    /** One actor's messages in one turn, which ends when the transaction has. */
    const part = (
      messages: ReadonlyArray<Pending & { readonly rpc: Rpc.AnyWithProps }>,
      definition: Definition,
      gate: Deferred.Deferred<void, ActivationOver>,
      inTransaction: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
    ): Effect.Effect<Part, Dirty> =>
      Effect.gen(function* () {
        const ready = yield* Deferred.make<Part, Dirty>()
        let phase: "waiting" | "begun" | "left out" = "waiting"
        const work = (behaviour: Behaviour) =>
          Effect.suspend(() => {
            if (phase === "left out") return Effect.void
            phase = "begun"
            const handled = inTransaction(
              Effect.forEach(messages, (message) => Effect.exit(handle(behaviour, message, message.rpc)))
            )
            return Effect.flatMap(handled, (replies) => {
              const defect = replies.find(
                (reply) => Exit.isFailure(reply) && Cause.failureOption(reply.cause)._tag === "None"
              )
              if (defect !== undefined && Exit.isFailure(defect)) {
                Deferred.unsafeDone(ready, Effect.fail(new Dirty(defect.cause)))
                // Alone, the message is the actor's failure; among others it is tried alone before that is said.
                return messages.length === 1 ? defect : Effect.die(new ActivationOver())
              }
              Deferred.unsafeDone(ready, Effect.succeed({ _tag: "Ready", replies }))
              return Effect.catchAll(Deferred.await(gate), Effect.die)
            })
          })
        yield* system.turn(definition, messages[0]!.id, work).pipe(
          Effect.catchAllCause((cause) => Deferred.succeed(ready, { _tag: "Refused", cause })),
          Effect.forkDaemon
        )
        const answer = yield* Effect.timeoutOption(Deferred.await(ready), patience)
        if (answer._tag === "Some") return answer.value
        // What has begun may have written already, so it is part of the transaction however long it takes.
        if ((phase as string) === "begun") return yield* Deferred.await(ready)
        phase = "left out"
        return { _tag: "Occupied" } as const
      })

    const attempt = (
      messages: ReadonlyArray<Pending>,
      gate: Deferred.Deferred<void, ActivationOver>,
      transaction: LazyTransaction.Transaction
    ) =>
      Effect.gen(function* () {
        const staged = new Map<string, Write>()
        const unit = { stage: (write: Write) => void staged.set(`${write.actor}\u0000${write.id}`, write) }
        const baton = new Baton()
        // One connection does one statement at a time, whoever asks.
        const inTransaction = <A, E>(effect: Effect.Effect<A, E>) =>
          baton.hold(transaction.join(Effect.provideService(effect, UnitOfWork, unit)))
        const groups = new Map<
          string,
          { definition: Definition; messages: Array<Pending & { rpc: Rpc.AnyWithProps }> }
        >()
        for (const message of messages) {
          const known = yield* served(message)
          if (known === undefined) continue
          const key = `${message.actor}\u0000${message.id}`
          const group = groups.get(key) ?? { definition: known.definition, messages: [] }
          group.messages.push({ ...message, rpc: known.rpc })
          groups.set(key, group)
        }
        const parts = yield* Effect.forEach(
          groups.values(),
          (group) =>
            Effect.map(part(group.messages, group.definition, gate, inTransaction), (answer) => ({ ...group, answer })),
          { concurrency: "unbounded" }
        )
        const done: Array<Done & { readonly outcome: Outcome }> = []
        const refused: Array<{ readonly position: number; readonly cause: Cause.Cause<unknown> }> = []
        const occupied: Array<number> = []
        for (const { answer, messages: own } of parts) {
          for (const [index, { position, rpc }] of own.entries()) {
            if (answer._tag === "Occupied") occupied.push(position)
            else if (answer._tag === "Refused") refused.push({ position, cause: answer.cause })
            else {
              const outcome = answer.replies[index]!
              done.push({ position, outcome, reply: yield* Effect.orDie(Schema.encode(exitSchema(rpc))(outcome)) })
            }
          }
        }
        const marks = done.map(({ position, reply }) => ({ position, reply }))
        yield* transaction.last(table.commit(marks, Array.from(staged.values())))
        return { done, refused, occupied }
      })

    const failedAlone = (message: Pending, cause: Cause.Cause<unknown>) =>
      Effect.gen(function* () {
        const dirty = Cause.squash(cause)
        const crashed = dirty instanceof Dirty
        const shown = Cause.pretty(crashed ? dirty.defect : cause).slice(0, failureCharactersMax)
        const quarantine = crashed && message.attempts + 1 >= attemptsMax
        const pause = 1_000 * 2 ** Math.min(message.attempts, 8)
        if (crashed) {
          settle(message.position, Exit.fail(new ActorCrashed({ actor: message.actor })))
          yield* table.failed(message.position, shown, pause, quarantine)
        } else {
          yield* table.postpone([message.position], pause)
        }
      }).pipe(Effect.catchAll((failure) => Effect.logWarning("A durable message was not put back", failure)))

    /** All of them in one transaction; when that fails, each in one of its own. */
    const run = (messages: ReadonlyArray<Pending>): Effect.Effect<void> =>
      Effect.gen(function* () {
        if (messages.length === 0) return
        const gate = yield* Deferred.make<void, ActivationOver>()
        const exit = yield* Effect.exit(
          orUnavailable(LazyTransaction.run(sql, (transaction) => attempt(messages, gate, transaction)))
        )
        if (Exit.isSuccess(exit)) {
          yield* Deferred.succeed(gate, undefined)
          for (const { outcome, position } of exit.value.done) settle(position, outcome)
          for (const { cause, position } of exit.value.refused) settle(position, Exit.failCause(cause))
          const { occupied, refused } = exit.value
          if (occupied.length > 0) yield* Effect.ignoreLogged(table.postpone(occupied, 0))
          if (refused.length > 0) {
            const positions = refused.map(({ position }) => position)
            yield* Effect.ignoreLogged(table.postpone(positions, refusedPauseMillis))
          }
          return
        }
        yield* Deferred.fail(gate, new ActivationOver())
        if (messages.length === 1) return yield* failedAlone(messages[0]!, exit.cause)
        yield* Effect.forEach(messages, (message) => run([message]), { discard: true })
      })

    return { run }
  })
