import type { DriverResult, Outcome } from "../../src/database/Driver.ts"

/** A running statement that may be cancelled. */
export interface Cancelling {
  /** The statement has ended; passed on when no cancel is under way any more. */
  readonly done: (outcome: Outcome<DriverResult>) => void
  /** Sends a cancel, one at a time. `send` calls `dealtWith` when the server can no longer act on it. */
  readonly cancel: (send: (dealtWith: () => void) => void) => void
}

export const make = (done: (outcome: Outcome<DriverResult>) => void): Cancelling => {
  let ended: Outcome<DriverResult> | undefined
  let under = false
  return {
    done: (outcome) => {
      ended = outcome
      if (!under) done(outcome)
    },
    cancel: (send) => {
      if (under || ended !== undefined) return
      under = true
      send(() => {
        under = false
        if (ended !== undefined) done(ended)
      })
    }
  }
}
