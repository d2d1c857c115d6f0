import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Deadline from "../request/Deadline.ts"
import * as Yielding from "../request/Yielding.ts"
import type { Alarm, Expiring } from "./Alarm.ts"
import type { DriverResult, DriverStatement, Outcome } from "./Driver.ts"
import type { Observer, Watch } from "./Observer.ts"
import type { Pool } from "./Pool.ts"
import type { Shape } from "./Shape.ts"

/** What statements run with. */
export interface Means {
  readonly pool: Pool
  readonly observer: Observer
  readonly alarm: Alarm
  /** Limit of a statement that the server does not keep by itself; Infinity where it does. */
  readonly millisMax: number
  /** Limit of what begins or ends a transaction: nobody can be interrupted in it, and the server may say nothing. */
  readonly boundaryMillisMax: number
}

/** A statement, and what is known of others with its text. Without it it has its connection alone. */
export interface Wanted extends DriverStatement {
  readonly shape?: Shape
}

/** What is wanted of an answer. */
export type Read<A> = (result: DriverResult) => A

/** Runs one statement somewhere. */
export type Run = <A>(wanted: Wanted, read: Read<A>) => Effect.Effect<A, SqlError>

/** Who asked, whether the others go first, and the observer's watch of it. */
export interface Asker<A> {
  readonly watch: Watch
  readonly yields: boolean
  readonly resume: (effect: Effect.Effect<A, SqlError>) => void
}

/** SQLSTATE query_canceled, as if the server's own time limit had stopped it. */
export const late = (): SqlError => {
  const message = "The time for this statement is over"
  return new SqlError({ message, cause: Object.assign(new Error(message), { code: "57014" }) })
}

/** One statement from the moment it is asked for until its caller is answered or has left. */
export abstract class Call<A> implements Expiring {
  readonly means: Means
  readonly wanted: Wanted
  private readonly read: Read<A>
  protected readonly asker: Asker<A>
  private hasDeadline = false
  /** By the observer's clock. */
  protected begunAt = 0
  /** Nobody waits for its answer any more. */
  isOver = false

  constructor(means: Means, wanted: Wanted, read: Read<A>, asker: Asker<A>) {
    this.means = means
    this.wanted = wanted
    this.read = read
    this.asker = asker
  }

  protected abstract start(): void

  /** Nobody waits for it: takes it out of its queue, or has it cancelled. */
  protected abstract stop(): void

  startBefore(deadline: number): void {
    if (deadline === Infinity) return this.start()
    if (deadline <= this.means.pool.now()) return this.answer(Either.left(late()))
    this.hasDeadline = true
    this.means.alarm.set(this, deadline)
    this.start()
  }

  begins(): void {
    this.begunAt = this.means.observer.now()
    this.asker.watch.begin(this.begunAt)
  }

  answer(outcome: Outcome<DriverResult>, at: number = this.means.observer.now()): void {
    if (this.isOver) return this.asker.watch.ended()
    this.over()
    const told = this.asker.watch.end(outcome, at)
    this.asker.resume(
      told === outcome && Either.isRight(outcome) ? Exit.succeed(this.read(outcome.right)) : Effect.map(told, this.read)
    )
  }

  expired(): void {
    this.answer(Either.left(late()))
    this.stop()
  }

  leave(): void {
    if (this.isOver) return
    this.over()
    this.asker.watch.leave()
    this.stop()
  }

  private over(): void {
    this.isOver = true
    if (this.hasDeadline) this.means.alarm.clear(this)
  }
}

/** What cannot be interrupted has no deadline either: it is a commit, or it cleans up behind a request that is over. */
export const deadlineOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>, flags: RuntimeFlags.RuntimeFlags): number =>
  RuntimeFlags.interruptible(flags) ? fiber.getFiberRef(Deadline.current) : Infinity

/** Runs a call in one suspension of its fiber. */
export const run = <A>(
  { millisMax, observer, pool }: Means,
  { sql }: Wanted,
  make: (asker: Asker<A>) => Call<A>
): Effect.Effect<A, SqlError> =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
    const asked = deadlineOf(fiber, runtimeFlags)
    const deadline = millisMax === Infinity ? asked : Math.min(asked, pool.now() + millisMax)
    const watch = observer.watch(sql, fiber)
    const yields = fiber.getFiberRef(Yielding.current)
    return Effect.async((resume) => {
      const call = make({ watch, yields, resume })
      call.startBefore(deadline)
      return Effect.sync(() => call.leave())
    })
  })
