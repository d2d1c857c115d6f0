import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import * as Yielding from "../request/Yielding.ts"
import type { Expiring } from "./Alarm.ts"
import { isBoundary, isCommit, rollback } from "./Boundary.ts"
import * as Call from "./Call.ts"
import type { DriverResult, Outcome } from "./Driver.ts"
import type { Holder, Lane } from "./Lane.ts"
import { isSpoiled, sqlState } from "./SqlErrors.ts"

/** Whoever uses a connection that others have by now is mistaken: it would be their transaction. */
const over = (): SqlError => {
  const message = "The transaction of this statement is over"
  return new SqlError({ message, cause: new Error(message) })
}

/** The server answers a COMMIT as if all were well, when it has rolled back since a statement had failed. */
const undone = ({ cause }: SqlError): SqlError =>
  new SqlError({ message: "The transaction was rolled back: a statement in it had failed", cause })

/** A call of whatever answer, as the queue sees it. */
interface Turn extends Pick<Call.Call<never>, "wanted" | "begins" | "answer" | "expired"> {
  cancel: () => void
  /** When the sweep ends it, if nobody does before; Infinity for what its caller may leave. */
  until: number
}

/** A connection of one's own, which the statements of a transaction use one after the other. */
export class Reserved {
  readonly means: Call.Means
  readonly lane: Lane
  private readonly holder: Holder
  private readonly queue: Array<Turn> = []
  private running: Turn | undefined
  /** It may be in a transaction still, which the server rolls back when the connection ends. */
  private isLost = false
  private hasEnded = false
  /** What the server refused last, when it has taken nothing since. */
  private refusal: SqlError | undefined

  constructor(means: Call.Means, lane: Lane, holder: Holder) {
    this.means = means
    this.lane = lane
    this.holder = holder
    lane.reserved = this
  }

  readonly run: Call.Run = <A>(wanted: Call.Wanted, read: Call.Read<A>) => {
    const call = Call.run<A>(this.means, wanted, (asker) => new ReservedCall(this, wanted, read, asker))
    if (wanted.sql !== rollback) return call
    const given = Effect.sync(() => {
      this.isLost = true
      return read({ rows: [], affected: 0 })
    })
    // What failed before is what its caller is told.
    return Effect.suspend(() => (this.cannotRollBack() ? given : Effect.catchAll(call, () => given)))
  }

  start(call: Turn): void {
    if (this.hasEnded) return call.answer(Either.left(over()))
    const { boundaryMillisMax, pool } = this.means
    if (isBoundary(call.wanted.sql)) call.until = pool.now() + boundaryMillisMax
    if (this.running === undefined) this.begin(call)
    else this.queue.push(call)
  }

  readonly sweep = (now: number): void => {
    // Who expires leaves the queue.
    for (const call of [this.running, ...this.queue]) if (call !== undefined && call.until <= now) call.expired()
  }

  stop(call: Turn): void {
    call.until = Infinity
    if (this.running === call) call.cancel()
    else this.queue.splice(this.queue.indexOf(call), 1)
  }

  /** The end of the transaction. A cancelled statement may still be on its way out. */
  readonly release = (): void => {
    this.hasEnded = true
    this.lane.reserved = undefined
    if (this.running === undefined) return this.giveBack()
    // It may be what begins a transaction, and succeed before the cancel arrives.
    this.isLost = true
    this.means.pool.abandon(this.lane, this.holder, this.running.cancel)
  }

  private begin(call: Turn): void {
    this.running = call
    call.begins()
    call.cancel = this.lane.connection.run(call.wanted, (outcome) => {
      this.running = undefined
      this.isLost ||= Either.isLeft(outcome) && isSpoiled(outcome.left)
      call.answer(this.judge(call.wanted.sql, outcome))
      this.next()
    })
  }

  private judge(sql: string, outcome: Outcome<DriverResult>): Outcome<DriverResult> {
    const { refusal } = this
    this.refusal = undefined
    if (Either.isRight(outcome)) return refusal !== undefined && isCommit(sql) ? Either.left(undone(refusal)) : outcome
    if (sqlState(outcome.left) !== undefined) this.refusal = refusal ?? outcome.left
    return outcome
  }

  /** Whether there is no use in a ROLLBACK: the connection is gone, or busy with what nobody waits for any more. */
  private cannotRollBack(): boolean {
    return this.isLost || this.running !== undefined || !this.lane.connection.isOpen()
  }

  private giveBack(): void {
    if (this.isLost) this.means.pool.discard(this.lane, this.holder)
    else this.means.pool.release(this.lane, this.holder)
  }

  private next(): void {
    if (this.hasEnded) {
      for (const call of this.queue.splice(0)) call.answer(Either.left(over()))
      return this.giveBack()
    }
    if (this.running !== undefined) return
    const call = this.queue.shift()
    if (call !== undefined) this.begin(call)
  }
}

class ReservedCall<A> extends Call.Call<A> {
  private readonly reserved: Reserved
  cancel: () => void = () => {}
  until = Infinity

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

interface Acquired {
  readonly lane: Lane
  readonly holder: Holder
}

/** A connection alone, waited for no longer than the deadline of the fiber. */
const acquire = ({ alarm, pool }: Call.Means): Effect.Effect<Acquired, SqlError> =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
    const deadline = Call.deadlineOf(fiber, runtimeFlags)
    return Effect.async((resume) => {
      let taken: Lane | undefined
      const holder: Holder & Expiring = {
        shares: false,
        yields: fiber.getFiberRef(Yielding.current),
        begins: () => {},
        granted: (lane) => {
          alarm.clear(holder)
          taken = lane
          resume(Effect.succeed({ lane, holder }))
        },
        refused: (error) => {
          alarm.clear(holder)
          resume(error)
        },
        expired: () => {
          if (pool.withdraw(holder)) resume(Call.late())
        }
      }
      if (deadline < Infinity) alarm.set(holder, deadline)
      pool.acquire(holder)
      return Effect.sync(() => {
        alarm.clear(holder)
        if (!pool.withdraw(holder) && taken !== undefined) pool.release(taken, holder)
      })
    })
  })

/** As interruptible as the caller is, inside of what is not. */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** A connection of one's own until the scope ends. `restore` is for the time in which it is waited for. */
export const reserve = (means: Call.Means, restore: Restore): Effect.Effect<Reserved, SqlError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(restore(acquire(means)), ({ holder, lane }) => new Reserved(means, lane, holder)),
    (reserved) => Effect.sync(reserved.release)
  )
