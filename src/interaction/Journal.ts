import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Message } from "../communication/Message.ts"
import type { DatabaseUnavailable } from "../errors.ts"
import { Conflict, InteractionEnded, NotFound, Overloaded } from "../errors.ts"
import type { NumberedEvent } from "./Event.ts"
import { messageFromJson } from "./Event.ts"
import { type Append, bodyHash, type EventLog, type Outcome, type Writer } from "./EventLog.ts"

/** Drafts of one interaction that wait for a commit at most; beyond that `append` fails with Overloaded. */
export const draftsMax = 256
/** Tries of one draft while other processes win; then Overloaded. */
export const attemptsMax = 8
/** Client keys of the latest messages that are remembered. Older ones are found by the database. */
export const recentKeysMax = 64

export type JournalError = NotFound | Conflict | InteractionEnded | Overloaded | DatabaseUnavailable

/** A message's key, and what the key stands for. */
export interface Key {
  readonly senderId: string
  readonly clientKey: string
  readonly bodyHash: string
}

/** What is to happen: it gets its numbers when it is committed. */
export interface Draft {
  /** How many events it makes. */
  readonly size: number
  readonly events: (firstSeq: number) => ReadonlyArray<NumberedEvent>
  readonly key?: Key
  /** Refused with InteractionEnded once the interaction has ended. */
  readonly onlyWhileActive: boolean
}

/** A draft's events as committed; or the message that an earlier draft of the same key had become. */
export type Written =
  | { readonly _tag: "Events"; readonly events: ReadonlyArray<NumberedEvent> }
  | { readonly _tag: "Known"; readonly message: Message }

interface Pending {
  readonly draft: Draft
  readonly result: Deferred.Deferred<Written, JournalError>
  attempts: number
}

/** The writer of one interaction: takes drafts, numbers them, and knows how far the interaction has come. */
export interface Journal {
  /** The number of the newest event known to be committed. */
  readonly lastSeq: () => number
  readonly ended: () => boolean
  /**
   * Takes the draft and returns at once with the Effect that waits for its commit. Drafts of one journal are committed
   * in the order in which they were taken. A draft whose key is known, or on its way, is not written again.
   */
  readonly append: (draft: Draft) => Effect.Effect<Effect.Effect<Written, JournalError>, JournalError>
}

/** What a journal starts from: what the database says. */
export interface Start {
  readonly interactionId: string
  readonly lastSeq: number
  readonly ended: boolean
}

const keyOf = ({ clientKey, senderId }: { readonly senderId: string | null; readonly clientKey: string }): string =>
  `${senderId} ${clientKey}`

const reused = new Conflict({ message: "This clientKey was used for another message" })

export const make = (log: Context.Tag.Service<typeof EventLog>, start: Start): Journal => {
  let lastSeq = start.lastSeq
  let ended = start.ended
  /** Whether the log has this journal in hand. */
  let known = false
  const waiting: Array<Pending> = []
  let open: { readonly pending: ReadonlyArray<Pending>; readonly append: Append } | undefined
  const onTheirWay = new Map<string, Pending>()
  const recent = new Map<string, Message>()

  const finish = (pending: Pending, exit: Exit.Exit<Written, JournalError>): void => {
    if (pending.draft.key !== undefined) onTheirWay.delete(keyOf(pending.draft.key))
    Deferred.unsafeDone(pending.result, exit)
  }

  const remember = (message: Message): void => {
    recent.set(keyOf(message), message)
    if (recent.size > recentKeysMax) recent.delete(recent.keys().next().value!)
  }

  const answer = (key: Key, message: Message): Exit.Exit<Written, JournalError> =>
    bodyHash(message.body) === key.bodyHash ? Exit.succeed({ _tag: "Known", message }) : Exit.fail(reused)

  const refuseWaiting = (): void => {
    for (const pending of waiting.splice(0)) {
      if (pending.draft.onlyWhileActive) finish(pending, Exit.fail(new InteractionEnded()))
      else waiting.push(pending)
    }
  }

  const take = (eventsMax: number): Append | undefined => {
    const pending: Array<Pending> = []
    const events: Array<NumberedEvent> = []
    while (waiting.length > 0 && events.length + waiting[0]!.draft.size <= eventsMax) {
      const next = waiting.shift()!
      const made = next.draft.events(lastSeq + events.length + 1)
      pending.push(next)
      events.push(...made)
      // Nothing may stand behind the end in the same commit: it would be written although the interaction is over.
      if (made.some((event) => event._tag === "InteractionEnded")) break
    }
    if (pending.length === 0) {
      known = false
      return undefined
    }
    const onlyWhileActive = pending.some(({ draft }) => draft.onlyWhileActive)
    const append = { interactionId: start.interactionId, expectedLastSeq: lastSeq, events, onlyWhileActive }
    open = { pending, append }
    return append
  }

  const settleCommitted = (pending: ReadonlyArray<Pending>, append: Append): void => {
    lastSeq = append.expectedLastSeq + append.events.length
    let index = 0
    for (const one of pending) {
      const events = append.events.slice(index, (index += one.draft.size))
      for (const event of events) {
        if (event._tag === "InteractionEnded") ended = true
        if (event._tag === "MessageAdded") remember(messageFromJson(event.message))
        if (event._tag === "MessageChanged" && recent.has(keyOf(event.message)))
          recent.set(keyOf(event.message), messageFromJson(event.message))
      }
      finish(one, Exit.succeed({ _tag: "Events", events }))
    }
    if (ended) refuseWaiting()
  }

  const settleBehind = (pending: ReadonlyArray<Pending>, outcome: Extract<Outcome, { _tag: "Behind" }>): void => {
    lastSeq = outcome.lastSeq
    ended = outcome.ended
    const stored = new Map(outcome.known.map((message) => [keyOf(message), message]))
    const again: Array<Pending> = []
    for (const one of pending) {
      const { key, onlyWhileActive } = one.draft
      const found = key === undefined ? undefined : stored.get(keyOf(key))
      if (outcome.gone) finish(one, Exit.fail(new NotFound({ what: "Interaction" })))
      else if (key !== undefined && found !== undefined) finish(one, answer(key, found))
      else if (ended && onlyWhileActive) finish(one, Exit.fail(new InteractionEnded()))
      else if (++one.attempts >= attemptsMax) finish(one, Exit.fail(new Overloaded({ retryAfterMillis: 100 })))
      else again.push(one)
    }
    waiting.unshift(...again)
    if (ended) refuseWaiting()
  }

  const settle = (outcome: Outcome): boolean => {
    const { append, pending } = open!
    open = undefined
    if (outcome._tag === "Committed") settleCommitted(pending, append)
    else if (outcome._tag === "Behind") settleBehind(pending, outcome)
    else for (const one of pending) finish(one, Exit.failCause(outcome.cause))
    known = waiting.length > 0
    return known
  }

  const writer: Writer = { interactionId: start.interactionId, take, settle }

  // Uninterruptible: a journal that believes the log has it in hand, and is wrong, would never write again.
  const append = (draft: Draft): Effect.Effect<Effect.Effect<Written, JournalError>, JournalError> =>
    Effect.suspend(() => {
      const { key } = draft
      if (key !== undefined) {
        const same = onTheirWay.get(keyOf(key))
        if (same !== undefined) {
          return same.draft.key?.bodyHash === key.bodyHash
            ? Effect.succeed(Deferred.await(same.result))
            : Effect.fail(reused)
        }
        const message = recent.get(keyOf(key))
        if (message !== undefined) return Effect.map(answer(key, message), Effect.succeed)
      }
      if (waiting.length >= draftsMax) return Effect.fail(new Overloaded({ retryAfterMillis: 100 }))
      return enqueue(draft)
    }).pipe(Effect.uninterruptible)

  const enqueue = (draft: Draft): Effect.Effect<Effect.Effect<Written, JournalError>, JournalError> =>
    Effect.flatMap(Deferred.make<Written, JournalError>(), (result) => {
      const pending: Pending = { draft, result, attempts: 0 }
      waiting.push(pending)
      if (draft.key !== undefined) onTheirWay.set(keyOf(draft.key), pending)
      if (known) return Effect.succeed(Deferred.await(result))
      known = true
      return log.ready(writer).pipe(
        Effect.tapError((error) =>
          Effect.sync(() => {
            known = false
            waiting.length = 0
            finish(pending, Exit.fail(error))
          })
        ),
        Effect.as(Deferred.await(result))
      )
    })

  return { lastSeq: () => lastSeq, ended: () => ended, append }
}
