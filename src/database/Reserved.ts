import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import * as Yielding from "../request/Yielding.ts"
import type { Expiring } from "./Alarm.ts"
import * as Call from "./Call.ts"
import type { Holder, Lane } from "./Lane.ts"
import { isSpoiled } from "./SqlErrors.ts"

export const rollback = "ROLLBACK"

/** What begins and ends a transaction or a part of it. */
const boundary = /^(?:BEGIN|COMMIT|ROLLBACK|SAVEPOINT|CLOSE)\b/i

/** A call of whatever answer, as the queue sees it. */
interface Turn extends Pick<Call.Call<never>, "wanted" | "begins" | "answer" | "expired"> {
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

  readonly run: Call.Run = <A>(wanted: Call.Wanted, read: Call.Read<A>) =>
    Effect.suspend((): Effect.Effect<A, SqlError> => {
      const call = Call.run<A>(this.means, wanted, (asker) => new ReservedCall(this, wanted, read, asker))
      if (wanted.sql !== rollback) return call
      // The server rolls back when the connection ends, and what failed before is what its caller is told.
      return this.giveUp() ? this.undone(read) : Effect.catchAll(call, () => this.undone(read))
    })

  start(call: Turn): void {
    if (boundary.test(call.wanted.sql)) {
      const { boundaryMillisMax, pool } = this.means
      this.lane.held = { expiring: call, until: pool.now() + boundaryMillisMax }
    }
    if (this.running === undefined) this.begin(call)
    else this.queue.push(call)
  }

  stop(call: Turn): void {
    this.ended(call)
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
      this.ended(call)
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

  private ended(call: Turn): void {
    if (this.lane.held?.expiring === call) this.lane.held = undefined
  }

  private undone<A>(read: Call.Read<A>): Effect.Effect<A> {
    this.isLost = true
    return Effect.sync(() => read({ rows: [], affected: 0 }))
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
