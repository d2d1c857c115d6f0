import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { ExecutionResult } from "graphql"
import { LazyScope } from "../actor/local/LazyScope.ts"
import * as Failures from "./Failures.ts"
import type { Feed, Wake } from "./Feed.ts"

/** A subscription that could not begin or went wrong: its first error, as graphql-ws takes it. */
export class SubscriptionFailed extends Error {
  readonly extensions: unknown
  constructor(error: { readonly message: string; readonly extensions?: unknown }) {
    super(error.message)
    this.extensions = error.extensions
  }
}

/** Who gets the answers of a subscription. */
export interface Reader {
  /** Starts a fiber that outlives the reader where it must. */
  readonly fork: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
  /** Takes an answer; done when it may have the next one. */
  readonly receive: (answer: ExecutionResult) => Effect.Effect<void>
  /** There are no more answers, because of the failure or because it is over. Not called after `close`. */
  readonly end: (failure: SubscriptionFailed | undefined) => void
}

/** How a subscription begins, and how one of its events becomes an answer. */
export interface Source {
  readonly open: (wake: Wake) => Effect.Effect<Feed<unknown, unknown>, unknown, Scope.Scope>
  readonly answer: (event: unknown) => Effect.Effect<ExecutionResult>
  /** One more has begun, or ended. */
  readonly count: (change: 1 | -1) => void
}

const failureOf = (cause: Cause.Cause<unknown>): Effect.Effect<SubscriptionFailed> => {
  const known = Option.getOrUndefined(Cause.failureOption(cause))
  if (known instanceof SubscriptionFailed) return Effect.succeed(known)
  return Effect.map(Failures.presentCause(cause), (error) => new SubscriptionFailed(error))
}

/**
 * A subscription under way. It has a fiber while it begins and while there is something to tell, and none while it
 * waits. What wakes it in the meantime is told by the same fiber, so its reader gets one answer after the other.
 */
export class Subscription {
  private readonly source: Source
  private readonly reader: Reader
  private readonly scope: Scope.CloseableScope = LazyScope.make()
  private feed: Feed<unknown, unknown> | undefined
  private fiber: Fiber.RuntimeFiber<void> | undefined
  private isTelling = false
  private isDue = true
  private isOver = false

  constructor(source: Source, reader: Reader) {
    this.source = source
    this.reader = reader
    this.start(this.begin())
  }

  /** Nothing more is told, and what it holds open is closed. */
  close(): void {
    if (this.isOver) return
    this.isOver = true
    const { fiber } = this
    this.reader.fork(
      Effect.zipRight(
        fiber === undefined ? Effect.void : Fiber.interrupt(fiber),
        Effect.suspend(() => this.release())
      )
    )
  }

  private start(telling: Effect.Effect<void, unknown>): void {
    this.isTelling = true
    const fiber = this.reader.fork(
      Effect.catchAllCause(telling, (cause) => Effect.flatMap(failureOf(cause), (failure) => this.finish(failure)))
    )
    this.fiber = this.isTelling ? fiber : undefined
  }

  private begin(): Effect.Effect<void, unknown> {
    const opened = this.source.open(() => this.wake())
    return Effect.flatMap(Scope.extend(opened, this.scope), (feed) => {
      this.feed = feed
      this.source.count(1)
      return this.tell(feed)
    })
  }

  private wake(): void {
    this.isDue = true
    if (!this.isTelling && !this.isOver && this.feed !== undefined) this.start(this.tell(this.feed))
  }

  private tell(feed: Feed<unknown, unknown>): Effect.Effect<void, unknown> {
    return Effect.gen(this, function* () {
      while (this.isDue) {
        this.isDue = false
        const { next, values } = yield* feed.take()
        for (const value of values) yield* this.reader.receive(yield* this.source.answer(value))
        if (next === "end") return yield* this.finish(undefined)
        if (next === "again") this.isDue = true
      }
      this.isTelling = false
      this.fiber = undefined
    })
  }

  private finish(failure: SubscriptionFailed | undefined): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.isOver) return Effect.void
      this.isOver = true
      this.reader.end(failure)
      return this.release()
    })
  }

  private release(): Effect.Effect<void> {
    if (this.feed !== undefined) this.source.count(-1)
    this.feed = undefined
    return Scope.close(this.scope, Exit.void)
  }
}
