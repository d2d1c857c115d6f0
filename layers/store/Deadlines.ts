/** A call that waits for its answer. */
export interface Pending {
  readonly at: number
  readonly expire: () => void
}

/**
 * One time limit for many calls, with one timer for the oldest. When it fires, what lies in the sockets is read before
 * anything expires: after a pause of the process (garbage collection, a busy machine) the answers are there already,
 * and a timer of each call's own would fire before they are looked at.
 */
export class Deadlines {
  private readonly limitMillis: number
  private readonly pending = new Set<Pending>()
  private armed = false

  constructor(limitMillis: number) {
    this.limitMillis = limitMillis
  }

  add(now: number, expire: () => void): Pending {
    const call = { at: now + this.limitMillis, expire }
    this.pending.add(call)
    if (!this.armed) this.arm(this.limitMillis)
    return call
  }

  /** False when it has expired already. */
  settle(call: Pending): boolean {
    return this.pending.delete(call)
  }

  private arm(millis: number): void {
    this.armed = true
    setTimeout(() => setImmediate(() => this.check()), millis).unref()
  }

  private check(): void {
    this.armed = false
    const now = performance.now()
    for (const call of this.pending) {
      if (call.at > now) return this.arm(call.at - now)
      this.pending.delete(call)
      call.expire()
    }
  }
}
