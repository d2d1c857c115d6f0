/** Retries that each call allows: more would turn a failure of one node into load on all. */
export const share = 0.1

/** Retries a second that are allowed whatever the calls. */
export const perSecondMin = 20

/** What can be saved up. */
export const tokensMax = 200

/** A token bucket: calls and time put in, retries take out. */
export class RetryBudget {
  private readonly now: () => number
  private tokens = tokensMax / 2
  private atMillis: number

  constructor(now: () => number) {
    this.now = now
    this.atMillis = now()
  }

  /** A call was made. */
  earn(): void {
    this.tokens = Math.min(tokensMax, this.tokens + share)
  }

  /** Whether a retry may be made; it is counted as made. */
  spend(): boolean {
    const now = this.now()
    this.tokens = Math.min(tokensMax, this.tokens + ((now - this.atMillis) * perSecondMin) / 1_000)
    this.atMillis = now
    if (this.tokens < 1) return false
    this.tokens--
    return true
  }
}
