import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Random from "effect/Random"
import type * as Scheduler from "effect/Scheduler"
import { PCGRandom } from "effect/Utils"

/**
 * Runs a program with time, chance and the order of its fibers taken from one number. Fibers are chosen at random and
 * interrupted at random steps; the clock moves only when nothing else can run. The same seed gives the same run, so a
 * test that fails names a seed that fails again. Real I/O and promises are not part of it: a program that waits for
 * them stands still here.
 */

/** Steps of one run; more are taken for a loop without an end. */
export const stepsMax = 1_000_000

/** Lines of one trace. */
export const traceMax = 10_000

/** Steps a fiber gets before another one may be chosen, at most. */
const burstMax = 48

export interface Result<A, E> {
  readonly seed: number
  readonly exit: Exit.Exit<A, E>
  /** What the program noted, each line with the time in milliseconds. */
  readonly trace: ReadonlyArray<string>
  /** Virtual time that passed. */
  readonly millis: number
}

/** What a simulated program has besides its services. */
export interface Handle {
  /** Writes a line to the trace. */
  readonly note: (line: string) => Effect.Effect<void>
}

export const run = <A, E>(program: (handle: Handle) => Effect.Effect<A, E>, seed: number): Result<A, E> => {
  const trace: Array<string> = []
  const clock = new VirtualClock()
  const scheduler = new SeededScheduler(seed)
  const note = (line: string) =>
    Effect.sync(() => {
      if (trace.length < traceMax) trace.push(`${clock.unsafeCurrentTimeMillis()} ${line}`)
    })
  const fiber = Effect.runFork(
    Effect.suspend(() => program({ note })).pipe(Effect.withClock(clock), Effect.withRandom(Random.make(seed))),
    { scheduler, immediate: false }
  )
  const exit = settle(fiber, scheduler, clock)
  return { seed, exit, trace, millis: clock.unsafeCurrentTimeMillis() }
}

/** The first seed from 1 to `seeds` with which the check on the result throws, and what it threw. */
export const search = <A, E>(
  program: (handle: Handle) => Effect.Effect<A, E>,
  check: (result: Result<A, E>) => void,
  seeds: number
): { readonly seed: number; readonly failure: unknown } | undefined => {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      check(run(program, seed))
    } catch (failure) {
      return { seed, failure }
    }
  }
  return undefined
}

const settle = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
  scheduler: SeededScheduler,
  clock: VirtualClock
): Exit.Exit<A, E> => {
  for (let step = 0; step < stepsMax; step++) {
    const exit = fiber.unsafePoll()
    if (exit !== null) return exit
    if (!scheduler.step() && !clock.advance())
      return Exit.die(new Error("Nothing is left to run, and it has not ended"))
  }
  return Exit.die(new Error(`It has not ended after ${stepsMax} steps`))
}

/** Takes one of the waiting tasks at random, each step. */
class SeededScheduler implements Scheduler.Scheduler {
  private readonly random: PCGRandom
  private readonly tasks: Array<Scheduler.Task> = []
  private burst = burstMax

  constructor(seed: number) {
    this.random = new PCGRandom(seed)
  }

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    // What says that it must not be taken apart is not.
    if (fiber.currentOpCount < this.burst || fiber.getFiberRef(FiberRef.currentMaxOpsBeforeYield) === Infinity) {
      return false
    }
    this.burst = 1 + this.random.integer(burstMax)
    return 0
  }

  scheduleTask(task: Scheduler.Task): void {
    this.tasks.push(task)
  }

  step(): boolean {
    if (this.tasks.length === 0) return false
    const index = this.random.integer(this.tasks.length)
    const task = this.tasks[index]!
    const last = this.tasks.pop()!
    if (index < this.tasks.length) this.tasks[index] = last
    task()
    return true
  }
}

interface Sleeper {
  readonly wakeMillis: number
  readonly wake: () => void
}

/** A clock that stands still until it is told to go on to the next sleeper. */
class VirtualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  readonly currentTimeMillis = Effect.sync(() => this.now)
  readonly currentTimeNanos = Effect.sync(() => BigInt(Math.round(this.now * 1_000_000)))
  private readonly sleepers = new Set<Sleeper>()
  private now = 0

  unsafeCurrentTimeMillis(): number {
    return this.now
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(Math.round(this.now * 1_000_000))
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const sleeper = { wakeMillis: this.now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
      this.sleepers.add(sleeper)
      return Effect.sync(() => void this.sleepers.delete(sleeper))
    })
  }

  /** Moves to the next time at which somebody wakes, and wakes all of that time. */
  advance(): boolean {
    let next = Number.POSITIVE_INFINITY
    for (const { wakeMillis } of this.sleepers) next = Math.min(next, wakeMillis)
    if (next === Number.POSITIVE_INFINITY) return false
    this.now = Math.max(this.now, next)
    for (const sleeper of this.sleepers) {
      if (sleeper.wakeMillis > this.now) continue
      this.sleepers.delete(sleeper)
      sleeper.wake()
    }
    return true
  }
}
