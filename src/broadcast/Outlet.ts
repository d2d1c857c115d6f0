import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/**
 * What waits for one subscriber: at most `capacity` messages. Offering never waits; beyond the bound the oldest go and
 * the subscriber sees one `gap` before what is left. A gap is shown first because whoever sees it refills from the
 * database, which already holds all that was lost until then.
 */
export class Outlet<A> {
  private readonly capacity: number
  private readonly gap: A
  private waiting: Array<A> = []
  private missed = false
  private readonly onDrop: () => void
  private resume: ((effect: Effect.Effect<ReadonlyArray<A>>) => void) | undefined

  constructor(capacity: number, gap: A, onDrop: () => void = () => undefined) {
    this.capacity = capacity
    this.gap = gap
    this.onDrop = onDrop
  }

  offer(message: A): void {
    if (this.waiting.length >= this.capacity) {
      this.waiting.shift()
      this.missed = true
      this.onDrop()
    }
    this.waiting.push(message)
    this.wake()
  }

  /** Tells the subscriber that messages may have been missed. */
  miss(): void {
    this.missed = true
    this.wake()
  }

  /** Everything that waits, at least one; one subscriber takes at a time. */
  readonly take: Effect.Effect<ReadonlyArray<A>> = Effect.async<ReadonlyArray<A>>((resume) => {
    if (this.missed || this.waiting.length > 0) return resume(Effect.succeed(this.drain()))
    this.resume = resume
    return Effect.sync(() => {
      if (this.resume === resume) this.resume = undefined
    })
  })

  /** Never ends by itself. */
  readonly stream: Stream.Stream<A> = Stream.flattenIterables(Stream.repeatEffect(this.take))

  private drain(): ReadonlyArray<A> {
    const all = this.missed ? [this.gap, ...this.waiting] : this.waiting
    this.waiting = []
    this.missed = false
    return all
  }

  private wake(): void {
    const resume = this.resume
    if (resume === undefined) return
    this.resume = undefined
    resume(Effect.succeed(this.drain()))
  }
}
