import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import { AskTimeout } from "../../errors.ts"
import { Alarm, type Due } from "../local/Alarm.ts"
import type { Definition } from "../Definition.ts"
import type { Outcome } from "../local/Message.ts"

/** Callers that wait for the reply of a durable message, in this process. */
export const waitersMax = 50_000

/** Somebody who waits for the outcome of a message. */
export class Waiter implements Due {
  dueMillis = 0
  earlier: Due | undefined = undefined
  later: Due | undefined = undefined
  listed = false
  outcome: Outcome | undefined = undefined
  resume: ((outcome: Outcome) => void) | undefined = undefined

  /** The first outcome counts. */
  tell(outcome: Outcome): void {
    this.outcome = outcome
    this.resume?.(outcome)
  }
}

/** Those who wait, by the position of their message. */
export class Waiters {
  private readonly byPosition = new Map<number, Set<Waiter>>()

  add(position: number, waiter: Waiter): void {
    const others = this.byPosition.get(position)
    if (others === undefined) this.byPosition.set(position, new Set([waiter]))
    else others.add(waiter)
  }

  remove(position: number, waiter: Waiter): void {
    const others = this.byPosition.get(position)
    if (others?.delete(waiter) === true && others.size === 0) this.byPosition.delete(position)
  }

  settle(position: number, outcome: Outcome): void {
    const own = this.byPosition.get(position)
    this.byPosition.delete(position)
    for (const waiter of own ?? []) waiter.tell(outcome)
  }

  get full(): boolean {
    return this.byPosition.size >= waitersMax
  }
}

/** Arms a timeout of the type for the waiter and gives what disarms it. */
export const timeouts = Effect.gen(function* () {
  const runtime = yield* Effect.runtime<never>()
  const clock = yield* Effect.clock
  const now = () => clock.unsafeCurrentTimeMillis()
  const alarms = new Map<string, Alarm<Waiter>>()
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const alarm of alarms.values()) alarm.stop()
    })
  )
  return ({ askTimeoutMillis, name }: Definition, waiter: Waiter): (() => void) => {
    const expire = (late: Waiter) =>
      late.tell(Exit.fail(new AskTimeout({ actor: name, timeoutMillis: askTimeoutMillis })))
    const fork = (effect: Effect.Effect<void>) => Runtime.runFork(runtime, effect)
    const alarm = alarms.get(name) ?? new Alarm<Waiter>(askTimeoutMillis, now, fork, expire)
    alarms.set(name, alarm)
    alarm.add(waiter, now())
    return () => alarm.remove(waiter)
  }
})
