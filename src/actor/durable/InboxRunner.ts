import type * as Rpc from "@effect/rpc/Rpc"
import * as RpcModule from "@effect/rpc/Rpc"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { orUnavailable } from "../../database/SqlErrors.ts"
import { ActorCrashed, ActorStopped, type DatabaseUnavailable } from "../../errors.ts"
import { ActorSystem } from "../ActorSystem.ts"
import { Baton } from "../local/Baton.ts"
import { type Behaviour, type Definition, type Encoded, isLater } from "../Definition.ts"
import { Dirty, gather } from "./Gathering.ts"
import type { InboxTable, Pending, Sent } from "./InboxTable.ts"
import * as LazyTransaction from "./LazyTransaction.ts"
import * as Payload from "./Payload.ts"
import * as SchemaVersion from "./SchemaVersion.ts"
import type { Write } from "../States.ts"
import { ActivationOver } from "../local/Turns.ts"
import { UnitOfWork } from "./UnitOfWork.ts"

/** Messages of one transaction at most. */
export const batchMax = 1_000

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

interface Group<M> {
  readonly definition: Definition
  readonly entries: Array<Entry<M>>
}

interface Entry<M> {
  readonly message: M
  /** The message in the words of this program; a defect when there are none. */
  readonly encoded: Exit.Exit<Encoded>
  /** Absent for a message that this program does not have: it fails like one that its handler fails on. */
  readonly rpc: Rpc.AnyWithProps | undefined
}

/** A message with its reply, as it is told and as it is kept. */
export interface Answered<M> {
  readonly message: M
  readonly outcome: Outcome
  readonly reply: unknown
}

/**
 * Handles durable messages: the handlers' state, what they write and the mark that they are done go into one
 * transaction, so their effects happen once however often a message is tried.
 */
export const make = (table: InboxTable, settle: Settle) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const system = yield* ActorSystem

    const handle = (behaviour: Behaviour, { encoded, rpc }: Entry<Sent>): Effect.Effect<unknown, unknown> =>
      Effect.flatMap(encoded, ({ payload, tag }) =>
        rpc === undefined ? Effect.dieMessage(`There is no message ${tag}`) : Effect.orDie(Payload.decode(rpc, payload))
      ).pipe(
        Effect.flatMap((payload) => {
          const result = behaviour[rpc!._tag]!(payload as never)
          return Effect.isEffect(result) ? (result as Effect.Effect<unknown, unknown>) : Effect.succeed(result)
        }),
        Effect.flatMap((reply) => (isLater(reply) ? (reply.effect as Effect.Effect<unknown>) : Effect.succeed(reply)))
      )

    /** The messages by their actor; left out are those of a type that is not served here, or of a newer program. */
    const grouped = <M extends Sent>(messages: ReadonlyArray<M>) =>
      Effect.gen(function* () {
        const definitions = new Map<string, Definition | undefined>()
        for (const { actor } of messages) {
          if (!definitions.has(actor)) definitions.set(actor, yield* system.definition(actor))
        }
        const groups = new Map<string, Group<M>>()
        for (const message of messages) {
          const definition = definitions.get(message.actor)
          if (definition === undefined || message.schemaVersion > SchemaVersion.written(definition.migrations)) continue
          const { migrations, protocol } = definition
          const encoded = yield* Effect.exit(SchemaVersion.forward<Encoded>(migrations, message.schemaVersion, message))
          const rpc = Exit.isSuccess(encoded) ? protocol.get(encoded.value.tag) : undefined
          const entry = { message, encoded, rpc }
          const key = `${message.actor}\u0000${message.id}`
          const group = groups.get(key)
          if (group === undefined) groups.set(key, { definition, entries: [entry] })
          else group.entries.push(entry)
        }
        return Array.from(groups.values())
      })

    const attempt = <M extends Sent>(
      messages: ReadonlyArray<M>,
      gate: Deferred.Deferred<void, ActivationOver>,
      transaction: LazyTransaction.Transaction,
      commit: (
        done: ReadonlyArray<Answered<M>>,
        writes: ReadonlyArray<Write>
      ) => Effect.Effect<void, DatabaseUnavailable>
    ) =>
      Effect.gen(function* () {
        const staged = new Map<string, Write>()
        const unit = { stage: (write: Write) => void staged.set(`${write.actor}\u0000${write.id}`, write) }
        const baton = new Baton()
        // One connection does one statement at a time, whoever asks.
        const inTransaction = <A, E>(effect: Effect.Effect<A, E>) =>
          baton.hold(transaction.join(Effect.provideService(effect, UnitOfWork, unit)))
        const groups = yield* grouped(messages)
        const shares = groups.map(({ definition, entries }) => ({
          definition,
          id: entries[0]!.message.id,
          handle: (behaviour: Behaviour) =>
            inTransaction(Effect.forEach(entries, (entry) => Effect.exit(handle(behaviour, entry))))
        }))
        const parts = yield* gather(shares, { system, gate, alone: messages.length === 1 })
        const done: Array<Answered<M>> = []
        const refused: Array<{ readonly message: M; readonly cause: Cause.Cause<unknown> }> = []
        const occupied: Array<M> = []
        for (const [index, part] of parts.entries()) {
          for (const [place, { message, rpc }] of groups[index]!.entries.entries()) {
            if (part._tag === "Occupied") occupied.push(message)
            else if (part._tag === "Refused") refused.push({ message, cause: part.cause })
            else {
              const outcome = part.replies[place]!
              done.push({ message, outcome, reply: yield* Effect.orDie(Schema.encode(exitSchema(rpc!))(outcome)) })
            }
          }
        }
        yield* transaction.last(commit(done, Array.from(staged.values())))
        return { done, refused, occupied }
      })

    /** One transaction; the turns in it end when it has. */
    const transact = <M extends Sent>(
      messages: ReadonlyArray<M>,
      commit: (
        done: ReadonlyArray<Answered<M>>,
        writes: ReadonlyArray<Write>
      ) => Effect.Effect<void, DatabaseUnavailable>
    ) =>
      Effect.flatMap(Deferred.make<void, ActivationOver>(), (gate) =>
        orUnavailable(LazyTransaction.run(sql, (transaction) => attempt(messages, gate, transaction, commit))).pipe(
          Effect.onExit((exit) =>
            Exit.isSuccess(exit) ? Deferred.succeed(gate, undefined) : Deferred.fail(gate, new ActivationOver())
          ),
          Effect.exit
        )
      )

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

    /** Whether the actor lives here. */
    const own = ({ actor, id }: Sent) =>
      Effect.map(system.definition(actor), (definition) => definition !== undefined && system.owns(definition, id))

    /** Those of actors that live here; the others are left to their nodes, and who waits for them is told to ask there. */
    const run = (messages: ReadonlyArray<Pending>): Effect.Effect<void> =>
      Effect.gen(function* () {
        const [away, here] = yield* Effect.partition(messages, (message) =>
          Effect.flatMap(own(message), (is) => (is ? Effect.succeed(message) : Effect.fail(message)))
        )
        for (const { actor, position } of away)
          settle(position, Exit.fail(new ActorStopped({ actor, retryAfterMillis: 0 })))
        yield* putBack(away, 0)
        yield* runHere(here)
      })

    /** All of them in one transaction; when that fails, each in one of its own. */
    const runHere = (messages: ReadonlyArray<Pending>): Effect.Effect<void> =>
      Effect.gen(function* () {
        if (messages.length === 0) return
        const exit = yield* transact(messages, (done, writes) =>
          table.commit(
            done.map(({ message, reply }) => ({ position: message.position, reply })),
            writes
          )
        )
        if (Exit.isSuccess(exit)) {
          const { done, occupied, refused } = exit.value
          for (const { message, outcome } of done) settle(message.position, outcome)
          for (const { cause, message } of refused) settle(message.position, Exit.failCause(cause))
          yield* putBack(occupied, 0)
          return yield* putBack(
            refused.map(({ message }) => message),
            refusedPauseMillis
          )
        }
        if (messages.length === 1) return yield* failedAlone(messages[0]!, exit.cause)
        yield* Effect.forEach(messages, (message) => runHere([message]), { discard: true })
      })

    const putBack = (messages: ReadonlyArray<Pending>, pauseMillis: number) =>
      messages.length === 0
        ? Effect.void
        : Effect.ignoreLogged(
            table.postpone(
              messages.map(({ position }) => position),
              pauseMillis
            )
          )

    /**
     * Accepts and handles messages that are not kept yet in one commit. What it gives back was neither: one of its kind
     * failed, its key is known, or its actor did not take it. Those are accepted first and handled then.
     */
    const direct = <M extends Sent>(messages: ReadonlyArray<M>) =>
      Effect.map(
        transact(messages, (done, writes) =>
          table.commitNew(
            done.map(({ message, reply }) => ({ ...plain(message), reply })),
            writes
          )
        ),
        (exit) => (Exit.isSuccess(exit) ? exit.value.done : [])
      )

    return { run, direct }
  })

const plain = ({ actor, id, key, payload, schemaVersion, tag }: Sent): Sent => ({
  actor,
  id,
  key,
  tag,
  payload,
  schemaVersion
})
