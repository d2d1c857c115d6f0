/** Timeouts in a row after which calls fail without being sent. */
export const timeoutsMax = 3

/** While open, one call is sent this often to see whether Redis answers again. */
export const probeMillis = 100

/** Silence after which the connection itself is taken for dead and made again: nobody may have closed it. */
export const silenceMillis = 2_000

/**
 * Spares callers the wait for a Redis that accepts commands and does not answer. A lost connection needs no breaker:
 * calls on it fail at once. Times are milliseconds of any clock that only goes forward.
 */
export class Breaker {
  private timeouts = 0
  private silentSince: number | undefined
  private probedAt = 0

  get open(): boolean {
    return this.timeouts >= timeoutsMax
  }

  /** Whether to send a call now. */
  allows(now: number): boolean {
    if (!this.open) return true
    if (now - this.probedAt < probeMillis) return false
    this.probedAt = now
    return true
  }

  answered(): void {
    this.timeouts = 0
    this.silentSince = undefined
  }

  /** True when the connection should be made again. */
  timedOut(now: number): boolean {
    this.timeouts++
    if (this.timeouts === timeoutsMax) this.probedAt = now
    this.silentSince ??= now
    if (now - this.silentSince < silenceMillis) return false
    this.silentSince = now
    return true
  }
}
