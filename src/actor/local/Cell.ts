import type * as Cause from "effect/Cause"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Due } from "./Alarm.ts"
import type { Behaviour } from "../Definition.ts"
import type { LazyScope } from "./LazyScope.ts"
import type { Message } from "./Message.ts"

/** What the drain fiber has to do before it takes the next message. */
export type Duty = "none" | "recover" | "passivate"

/**
 * One actor: its mailbox, and its state while it is active. What an idle actor does not need is absent, so that hundreds
 * of thousands fit in a process.
 */
export class Cell implements Due {
  readonly id: string
  head: Message | undefined = undefined
  tail: Message | undefined = undefined
  /** Messages in the mailbox, the ones whose sender has gone included. */
  depth = 0
  behaviour: Behaviour | undefined = undefined
  scope: (LazyScope & Scope.CloseableScope) | undefined = undefined
  /** Whether a drain fiber has this cell. */
  running = false
  duty: Duty = "none"
  /** Changes with each activation and each end of one, so that a late reply can tell that its actor is gone. */
  epoch = 0
  busy: Busy | undefined = undefined
  /** Times of failures in the window. */
  failures: Array<number> | undefined = undefined
  dueMillis = 0
  earlier: Due | undefined = undefined
  later: Due | undefined = undefined
  listed = false

  constructor(id: string) {
    this.id = id
  }

  /** Appends to the mailbox. */
  push(message: Message): void {
    if (this.tail === undefined) this.head = message
    else this.tail.next = message
    this.tail = message
    this.depth++
  }

  /** The oldest message, removed; undefined when there is none. */
  shift(): Message | undefined {
    const message = this.head
    if (message === undefined) return undefined
    this.head = message.next
    if (this.head === undefined) this.tail = undefined
    message.next = undefined
    this.depth--
    return message
  }

  /** The part that only an actor at work has. */
  work(): Busy {
    return (this.busy ??= new Busy())
  }
}

/** What an actor has besides while it is at work. */
export class Busy {
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined
  /** The message whose turn it is. */
  current: Message | undefined = undefined
  failure: Cause.Cause<unknown> | undefined = undefined
  /** Senders that wait for room, oldest first; as many as the mailbox has places. */
  readonly waiters: Array<Message> = []
  /** Replies that are produced after their turn, by the fiber that does it; as many as the mailbox has places. */
  readonly replies = new Map<Fiber.RuntimeFiber<unknown, unknown>, Message>()
  /** Ends each open stream; as many as the mailbox has places. */
  readonly streams = new Set<() => void>()
  /** Resumes the drain fiber when one of `replies` has ended. */
  wake: (() => void) | undefined = undefined

  /** Whether nothing keeps the actor at work. */
  get over(): boolean {
    return this.replies.size === 0 && this.streams.size === 0 && this.waiters.length === 0
  }
}
