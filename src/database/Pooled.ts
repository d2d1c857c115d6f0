import type { SqlError } from "@effect/sql/SqlError"
import * as Either from "effect/Either"
import * as Call from "./Call.ts"
import type { DriverResult, Outcome } from "./Driver.ts"
import type { Holder, Lane } from "./Lane.ts"
import { isSpoiled, isStalePlan, sqlState } from "./SqlErrors.ts"

/** A statement on whichever connection there is. An interrupted caller leaves at once, waiting or running. */
class PooledCall<A> extends Call.Call<A> implements Holder {
  shares = this.wanted.shape?.shares === true
  readonly yields = this.asker.yields
  private lane: Lane | undefined
  private cancel: () => void = () => {}

  protected start(): void {
    this.means.pool.acquire(this)
  }

  granted(lane: Lane): void {
    this.lane = lane
    this.cancel = lane.connection.run(this.wanted, (outcome) => this.ended(lane, outcome))
  }

  refused(error: SqlError): void {
    this.answer(Either.left(error))
  }

  protected stop(): void {
    if (this.lane === undefined) this.means.pool.withdraw(this)
    else this.means.pool.abandon(this.lane, this, this.cancel)
  }

  private ended(lane: Lane, outcome: Outcome<DriverResult>): void {
    const { observer, pool } = this.means
    const at = observer.now()
    this.lane = undefined
    this.wanted.shape?.took(at - this.begunAt)
    const again = !this.isOver && (hasStalePlan(outcome) || (this.shares && wasHitByCancel(lane, outcome)))
    if (Either.isLeft(outcome) && isSpoiled(outcome.left)) pool.discard(lane, this)
    else pool.release(lane, this)
    if (!again) return this.answer(outcome, at)
    this.shares = false
    pool.acquire(this)
  }
}

/** It did not begin; the connection goes, and with it the plan. Each connection has it at most once. */
const hasStalePlan = (outcome: Outcome<DriverResult>): boolean => Either.isLeft(outcome) && isStalePlan(outcome.left)

/** The cancel of a statement ahead came late and hit this one. It is a read: once more, alone, does no harm. */
const wasHitByCancel = (lane: Lane, outcome: Outcome<DriverResult>): boolean =>
  lane.cancels > 0 && Either.isLeft(outcome) && sqlState(outcome.left) === "57014"

export const run =
  (means: Call.Means): Call.Run =>
  (wanted, read) =>
    Call.run(means, wanted, (asker) => new PooledCall(means, wanted, read, asker))
