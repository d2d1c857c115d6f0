import type * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import type { Due } from "./Alarm.ts"
import type { Behaviour } from "../Definition.ts"

/** How a message ended. */
export type Outcome = Exit.Exit<unknown, unknown>

/** What the sender's trace needs to go on in the actor. */
export interface Trace {
  readonly span: Tracer.AnySpan
  readonly tracer: Tracer.Tracer
}

/**
 * One message on its way through a mailbox. It is settled exactly once: with its reply, a typed failure, or nothing
 * more because its sender went away. Messages link to each other, so a mailbox costs an idle actor no memory.
 */
export class Message implements Due {
  readonly tag: string
  readonly payload: unknown
  /** Whether somebody waits for a reply. */
  readonly ask: boolean
  /** Present when the sender has a span that is sampled. */
  readonly trace: Trace | undefined
  /** Open from the begin of its turn until the message is settled; only below a sampled span. */
  span: Tracer.Span | undefined = undefined
  /** Instead of a handler: what the runtime itself does in a turn of the actor. */
  work: ((behaviour: Behaviour) => unknown) | undefined = undefined
  /** Whether the mailbox has taken it; before that it may wait for room. */
  accepted = false
  /** Whether its turn has come: before that it has done nothing, and may go elsewhere. */
  begun = false
  arrivedMillis = 0
  outcome: Outcome | undefined = undefined
  /** Called once, when the message is settled. */
  onSettled: ((outcome: Outcome) => void) | undefined = undefined
  /** Called when a message that waited for room enters the mailbox. */
  onAccepted: (() => void) | undefined = undefined
  next: Message | undefined = undefined
  dueMillis = 0
  earlier: Due | undefined = undefined
  later: Due | undefined = undefined
  listed = false

  constructor(tag: string, payload: unknown, ask: boolean, trace: Trace | undefined) {
    this.tag = tag
    this.payload = payload
    this.ask = ask
    this.trace = trace
  }

  /** The first outcome counts; later ones are dropped. */
  settle(outcome: Outcome): void {
    if (this.outcome !== undefined) return
    this.outcome = outcome
    const told = this.onSettled
    this.onSettled = undefined
    if (told !== undefined) told(outcome)
  }
}
