import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import type * as Cause from "effect/Cause"
import type * as Fiber from "effect/Fiber"
import { pipeArguments } from "effect/Pipeable"
import * as Scope from "effect/Scope"
import type { Due } from "./Deadlines.ts"
import type { Behaviour } from "./Definition.ts"
import type { Message } from "./Message.ts"

/** What the drain fiber has to do before it takes the next message. */
export type Duty = "none" | "recover" | "passivate"

/**
 * One actor: its mailbox, and its state while it is active. Everything that an idle actor does not need is absent, so
 * that hundreds of thousands fit in a process.
 */
export class Cell implements Due {
  readonly id: string
  head: Message | undefined = undefined
  tail: Message | undefined = undefined
  depth = 0
  behaviour: Behaviour | undefined = undefined
  scope: LazyScope | undefined = undefined
  /** Whether a drain fiber has this cell. */
  running = false
  duty: Duty = "none"
  /** Counts activations, so that a late reply can tell that its actor is gone. */
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
}

/** What only an actor at work has. */
export class Busy {
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined
  current: Message | undefined = undefined
  failure: Cause.Cause<unknown> | undefined = undefined
  /** Senders that wait for room, oldest first. */
  waiters: Array<Message> = []
  /** Fibers that produce replies of turns which have ended. */
  replies = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  /** Ends each open stream. */
  streams = new Set<() => void>()
  /** Resumes the drain fiber when one of `replies` has ended. */
  wake: (() => void) | undefined = undefined
}

/** A Scope that is only made when something asks for it. */
export class LazyScope {
  readonly [Scope.ScopeTypeId]: Scope.ScopeTypeId = Scope.ScopeTypeId
  readonly [Scope.CloseableScopeTypeId]: Scope.CloseableScopeTypeId = Scope.CloseableScopeTypeId
  private inner: Scope.CloseableScope | undefined = undefined

  get strategy(): ExecutionStrategy.ExecutionStrategy {
    return ExecutionStrategy.sequential
  }

  /** Whether nothing was ever registered. */
  get empty(): boolean {
    return this.inner === undefined
  }

  private open(): Scope.CloseableScope {
    return (this.inner ??= Effect.runSync(Scope.make()))
  }

  fork(strategy: ExecutionStrategy.ExecutionStrategy): Effect.Effect<Scope.CloseableScope> {
    return Effect.suspend(() => Scope.fork(this.open(), strategy))
  }

  addFinalizer(finalizer: Scope.Scope.Finalizer): Effect.Effect<void> {
    return Effect.suspend(() => Scope.addFinalizerExit(this.open(), finalizer))
  }

  close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => (this.inner === undefined ? Effect.void : Scope.close(this.inner, exit)))
  }

  pipe() {
    // oxlint-disable-next-line prefer-rest-params
    return pipeArguments(this, arguments)
  }
}
