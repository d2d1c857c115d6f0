import * as Effect from "effect/Effect"
import * as Metrics from "../telemetry/Metrics.ts"
import type { Signal } from "./Topics.ts"

/** Messages waiting for one subscriber; beyond that the oldest are dropped and the subscriber sees one `Gap`. */
export const subscriberBufferMax = 256

const none: ReadonlyArray<never> = []
const gap: Signal<never> = { _tag: "Gap" }
const ignore = (): void => undefined

/**
 * What waits for one subscriber: at most `subscriberBufferMax` messages, and one Gap before them. Offering never waits;
 * beyond the bound the oldest go. The Gap is first because whoever sees it refills from the database, which already holds
 * all that was lost until then.
 */
export class Outlet<A> {
  private waiting: Array<Signal<A>> | undefined
  private missed = false
  private wake: () => void

  /** `wake` is called after each offer. */
  constructor(wake: () => void = ignore) {
    this.wake = wake
  }

  offer(signal: Signal<A>): void {
    if (signal._tag === "Gap") this.missed = true
    else this.push(signal)
    this.wake()
  }

  /** Everything that waits. */
  drain(): ReadonlyArray<Signal<A>> {
    const waiting = this.waiting ?? none
    this.waiting = undefined
    if (!this.missed) return waiting
    this.missed = false
    return [gap, ...waiting]
  }

  /** Everything that waits, at least one signal. Takes the place of `wake`; one subscriber takes at a time. */
  get take(): Effect.Effect<ReadonlyArray<Signal<A>>> {
    return Effect.async((resume) => {
      if (this.missed || this.waiting !== undefined) return resume(Effect.succeed(this.drain()))
      this.wake = () => {
        this.wake = ignore
        resume(Effect.succeed(this.drain()))
      }
      return Effect.sync(() => {
        this.wake = ignore
      })
    })
  }

  private push(message: Signal<A>): void {
    this.waiting ??= []
    if (this.waiting.length >= subscriberBufferMax) {
      this.waiting.shift()
      this.missed = true
      Metrics.broadcastDropped.unsafeUpdate(1, none)
    }
    this.waiting.push(message)
  }
}
