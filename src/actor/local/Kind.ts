import type * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { ActorCrashed, ActorStopped, AskTimeout, MailboxFull } from "../../errors.ts"
import type { DeadLetters } from "./DeadLetters.ts"
import type { Activate, Definition } from "../Definition.ts"
import type { Outcome } from "./Message.ts"
import type { Tally } from "./Tally.ts"

/** What the actors of all types in one system share. */
export interface Shared {
  readonly deadLetters: DeadLetters
  readonly escalate: (actor: string, cause: Cause.Cause<unknown>) => void
  /** How many drain fibers run inside each other now. */
  nested: number
}

/** An actor type as it is served here: what its parts (mailboxes, turns, streams) have in common. */
export interface Kind {
  readonly definition: Definition
  readonly activate: Activate
  /** The services of the handlers. */
  readonly context: Context.Context<never>
  readonly shared: Shared
  readonly tally: Tally
  readonly now: () => number
  readonly nowNanos: () => bigint
  /** Starts a fiber with the services and the clock of the type; at once, or when the scheduler comes to it. */
  readonly fork: (effect: Effect.Effect<unknown, unknown>, immediate: boolean) => Fiber.RuntimeFiber<unknown, unknown>
  /** Whether the type takes no more messages. */
  closing: boolean
}

/** What a refused sender is told while the process shuts down: by then another one serves the actor. */
export const closingRetryMillis = 1_000

export const stopped = (kind: Kind, retryAfterMillis: number): Outcome =>
  Exit.fail(new ActorStopped({ actor: kind.definition.name, retryAfterMillis: Math.ceil(retryAfterMillis) }))

export const crashed = (kind: Kind): Outcome => Exit.fail(new ActorCrashed({ actor: kind.definition.name }))

export const timedOut = (kind: Kind): Outcome =>
  Exit.fail(new AskTimeout({ actor: kind.definition.name, timeoutMillis: kind.definition.askTimeoutMillis }))

export const full = (kind: Kind): MailboxFull =>
  new MailboxFull({ actor: kind.definition.name, capacity: kind.definition.capacity })
