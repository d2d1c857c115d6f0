import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberRef from "effect/FiberRef"
import type * as Scope from "effect/Scope"
import * as Yielding from "../request/Yielding.ts"
import * as Call from "./Call.ts"
import type { Holder, Lane } from "./Lane.ts"
import type { Pool } from "./Pool.ts"
import { isSpoiled } from "./SqlErrors.ts"

export const rollback = "ROLLBACK"

/** A call of whatever answer, as the queue sees it. */
interface Turn extends Pick<Call.Call<never>, "wanted" | "begins" | "answer"> {
  cancel: () => void
}

/** A connection of one's own, which the statements of a transaction use one after the other. */
export class Reserved {
  readonly means: Call.Means
  readonly lane: Lane
  private readonly holder: Holder
  private readonly queue: Array<Turn> = []
  private running: Turn | undefined
  /** A statement was cancelled and the transaction with it; the server rolls back when the connection ends. */
  private isLost = false
  private hasEnded = false

  constructor(means: Call.Means, lane: Lane, holder: Holder) {
    this.means = means
    this.lane = lane
    this.holder = holder
  }

  readonly run: Call.Run = (wanted, read) =>
    Effect.suspend(() => {
      if (wanted.sql === rollback && this.giveUp()) return Effect.succeed(read({ rows: [], affected: 0 }))
      return Call.run(this.means, wanted, (asker) => new ReservedCall(this, wanted, read, asker))
    })

  start(call: Turn): void {
    if (this.running === undefined) this.begin(call)
    else this.queue.push(call)
  }

  stop(call: Turn): void {
    if (this.running === call) call.cancel()
    else this.queue.splice(this.queue.indexOf(call), 1)
  }

  /** The end of the transaction. A cancelled statement may still be on its way out. */
  readonly release = (): void => {
    this.hasEnded = true
    if (this.running === undefined) this.giveBack()
    else this.means.pool.abandon(this.lane, this.holder, this.running.cancel)
  }

  private begin(call: Turn): void {
    this.running = call
    call.begins()
    call.cancel = this.lane.connection.run(call.wanted, (outcome) => {
      this.running = undefined
      this.isLost ||= Either.isLeft(outcome) && isSpoiled(outcome.left)
      call.answer(outcome)
      this.next()
    })
  }

  /** Whether there is no use in a ROLLBACK: the connection is gone, or busy with what nobody waits for any more. */
  private giveUp(): boolean {
    this.isLost ||= this.running !== undefined || !this.lane.connection.isOpen()
    return this.isLost
  }

  private giveBack(): void {
    if (this.isLost) this.means.pool.discard(this.lane, this.holder)
    else this.means.pool.release(this.lane, this.holder)
  }

  private next(): void {
    if (this.running !== undefined) return
    const call = this.queue.shift()
    if (call !== undefined) this.begin(call)
    else if (this.hasEnded) this.giveBack()
  }
}

class ReservedCall<A> extends Call.Call<A> {
  private readonly reserved: Reserved
  cancel: () => void = () => {}

  constructor(reserved: Reserved, wanted: Call.Wanted, read: Call.Read<A>, asker: Call.Asker<A>) {
    super(reserved.means, wanted, read, asker)
    this.reserved = reserved
  }

  protected start(): void {
    this.reserved.start(this)
  }

  protected stop(): void {
    this.reserved.stop(this)
  }
}

const acquire = (pool: Pool, yields: boolean) =>
  Effect.async<{ readonly lane: Lane; readonly holder: Holder }, SqlError>((resume) => {
    let taken: Lane | undefined
    const holder: Holder = {
      shares: false,
      yields,
      begins: () => {},
      granted: (lane) => {
        taken = lane
        resume(Effect.succeed({ lane, holder }))
      },
      refused: (error) => resume(error)
    }
    pool.acquire(holder)
    return Effect.sync(() => {
      if (!pool.withdraw(holder) && taken !== undefined) pool.release(taken, holder)
    })
  })

/** Waits for a connection interruptibly even where @effect/sql begins a transaction, which it does uninterruptibly. */
export const reserve = (means: Call.Means): Effect.Effect<Reserved, SqlError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(
      Effect.interruptible(Effect.flatMap(FiberRef.get(Yielding.current), (yields) => acquire(means.pool, yields))),
      ({ holder, lane }) => new Reserved(means, lane, holder)
    ),
    (reserved) => Effect.sync(reserved.release)
  )
