import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type { EndReason } from "./Session.ts"

interface Waiting {
  readonly reason: Deferred.Deferred<EndReason>
  waiters: number
}

/** Who waits for which session to end: one entry per session with open sockets, gone with the last of them. */
export class Endings {
  private readonly bySession = new Map<string, Waiting>()

  get sessionIds(): ReadonlyArray<string> {
    return [...this.bySession.keys()]
  }

  end(sessionId: string, reason: EndReason): void {
    const waiting = this.bySession.get(sessionId)
    if (waiting !== undefined) Deferred.unsafeDone(waiting.reason, Effect.succeed(reason))
  }

  /** Completes when the session ends; `check` runs once it would be noticed. */
  wait(sessionId: string, check: Effect.Effect<void>): Effect.Effect<EndReason> {
    return Effect.acquireUseRelease(
      Effect.sync(() => this.join(sessionId)),
      ({ reason }) => Effect.zipRight(check, Deferred.await(reason)),
      (waiting) => Effect.sync(() => this.leave(sessionId, waiting))
    )
  }

  private join(sessionId: string): Waiting {
    const waiting = this.bySession.get(sessionId) ?? { reason: Deferred.unsafeMake(FiberId.none), waiters: 0 }
    this.bySession.set(sessionId, waiting)
    waiting.waiters++
    return waiting
  }

  private leave(sessionId: string, waiting: Waiting): void {
    waiting.waiters--
    if (waiting.waiters === 0) this.bySession.delete(sessionId)
  }
}
