import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type { EndReason } from "./Session.ts"

/** Ended sessions remembered at most; `onForgotten` runs when one had to be forgotten before its time. */
export const rememberedMax = 20_000

interface Waiting {
  readonly reason: Deferred.Deferred<EndReason>
  waiters: number
}

/**
 * Sessions that ended lately, whatever a cache still says of them, and who waits for which to end: one entry per session
 * with open sockets, gone with the last of them.
 */
export class Endings {
  private readonly waiting = new Map<string, Waiting>()
  /** Until when, by session; the first is the first to go. */
  private readonly remembered = new Map<string, number>()
  private readonly rememberMillis: number
  private readonly onForgotten: () => void

  /** `rememberMillis`: as long as any cache may still hold such a session. */
  constructor(rememberMillis: number, onForgotten: () => void) {
    this.rememberMillis = rememberMillis
    this.onForgotten = onForgotten
  }

  get awaitedIds(): ReadonlyArray<string> {
    return [...this.waiting.keys()]
  }

  has(sessionId: string): boolean {
    return this.remembered.has(sessionId)
  }

  end(sessionId: string, reason: EndReason, now: number): void {
    this.remembered.delete(sessionId)
    this.remembered.set(sessionId, now + this.rememberMillis)
    for (const [oldest, until] of this.remembered) {
      if (until > now) {
        if (this.remembered.size <= rememberedMax) break
        this.onForgotten()
      }
      this.remembered.delete(oldest)
    }
    const waiting = this.waiting.get(sessionId)
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
    const waiting = this.waiting.get(sessionId) ?? { reason: Deferred.unsafeMake(FiberId.none), waiters: 0 }
    this.waiting.set(sessionId, waiting)
    waiting.waiters++
    return waiting
  }

  private leave(sessionId: string, waiting: Waiting): void {
    waiting.waiters--
    if (waiting.waiters === 0) this.waiting.delete(sessionId)
  }
}
