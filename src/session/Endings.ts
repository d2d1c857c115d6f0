import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { enrol } from "../broadcast/enrol.ts"
import { Listeners } from "../broadcast/Listeners.ts"
import type { EndReason } from "./Session.ts"

/** Ended sessions remembered at most; `onForgotten` runs when one had to be forgotten before its time. */
export const rememberedMax = 20_000

type Told = (reason: EndReason) => void

/**
 * Sessions that ended lately, whatever a cache still says of them, and who waits for which to end: one entry per session
 * with open sockets, gone with the last of them.
 */
export class Endings {
  private readonly waiting = new Listeners<Told>()
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
    return this.waiting.keys
  }

  has(sessionId: string): boolean {
    // A look into a Map costs the hash of the id, though the Map is empty.
    return this.remembered.size > 0 && this.remembered.has(sessionId)
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
    for (const told of this.waiting.of(sessionId)) told(reason)
  }

  /** Calls `told` when the session ends, for as long as the scope lives; `check` runs once it would be noticed. */
  watch(sessionId: string, told: Told, check: Effect.Effect<void>): Effect.Effect<void, never, Scope.Scope> {
    return Effect.zipRight(
      enrol(
        () => this.waiting.add(sessionId, told),
        () => this.waiting.remove(sessionId, told)
      ),
      check
    )
  }
}
