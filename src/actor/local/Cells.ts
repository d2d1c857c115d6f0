import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Runtime from "effect/Runtime"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"
import { sliceMax } from "./Alarm.ts"
import type { Cell } from "./Cell.ts"
import type { Registration } from "../Definition.ts"
import { crashed, full, type Kind, type Shared, stopped } from "./Kind.ts"
import { Mailboxes } from "./Mailboxes.ts"
import type { Message } from "./Message.ts"
import { Tally, type Stats } from "./Tally.ts"
import { type Opened, Turns } from "./Turns.ts"

/** Scopes of one type that are closed at the same time at the end. */
const closeConcurrency = 16

/** Time between two looks whether expelled actors have ended their turns. */
const endedEvery = Duration.millis(10)

/** All actors of one type in this process. */
export class Cells {
  private readonly kind: Kind
  private readonly turns: Turns
  private readonly mailboxes: Mailboxes

  constructor(registration: Registration, runtime: Runtime.Runtime<never>, clock: Clock.Clock, shared: Shared) {
    // Only Effect's own scheduler lets a drain start inside its caller; another one decides about every step.
    const scheduler = FiberRefs.getOrDefault(runtime.fiberRefs, FiberRef.currentScheduler)
    const direct = scheduler === Scheduler.defaultScheduler
    this.kind = {
      ...registration,
      shared,
      tally: new Tally(registration.definition.name),
      now: () => clock.unsafeCurrentTimeMillis(),
      nowNanos: () => clock.unsafeCurrentTimeNanos(),
      fork: (effect, immediate) => Runtime.runFork(runtime, effect, { immediate: immediate && direct }),
      closing: false
    }
    this.turns = new Turns(this.kind, () => this.mailboxes)
    this.mailboxes = new Mailboxes(this.kind, (cell) => this.turns.start(cell))
  }

  get definition(): Registration["definition"] {
    return this.kind.definition
  }

  /** Puts the message in the mailbox of `id`, which it activates when needed, or settles it with why not. */
  offer(id: string, message: Message): void {
    this.mailboxes.offer(id, message)
  }

  abandon(message: Message): void {
    this.mailboxes.abandon(message)
  }

  isActive(id: string): boolean {
    return this.mailboxes.get(id)?.behaviour !== undefined
  }

  stats(): Stats {
    return this.kind.tally.stats()
  }

  putAway(count: number): Effect.Effect<number> {
    return this.turns.putAway(count)
  }

  /** A streamed reply. It keeps its actor from going idle, and fails with ActorStopped when that activation ends. */
  stream({ cell, epoch, stream }: Opened): Stream.Stream<unknown, unknown> {
    const over = Effect.unsafeMakeLatch(false)
    const end = () => void over.unsafeOpen()
    const acquire = Effect.suspend((): Effect.Effect<void, unknown> => {
      if (cell.epoch !== epoch) return Effect.asVoid(stopped(this.kind, 0))
      const { streams } = cell.work()
      if (streams.size >= this.kind.definition.capacity) return Effect.fail(full(this.kind))
      streams.add(end)
      this.turns.hold(cell)
      return Effect.void
    })
    const release = Effect.sync(() => {
      if (cell.busy?.streams.delete(end) === true) this.turns.refresh(cell)
    })
    return Stream.acquireRelease(acquire, () => release).pipe(
      Stream.flatMap(() => stream as Stream.Stream<unknown, unknown>),
      Stream.provideContext(this.kind.context),
      Stream.interruptWhen(Effect.zipRight(over.await, stopped(this.kind, 0))),
      Stream.catchAllCause((cause) => {
        const failed = Exit.failCause(cause)
        return failed._tag === "Failure" && cause._tag === "Die"
          ? Stream.fromEffect(crashed(this.kind))
          : Stream.failCause(cause)
      })
    )
  }

  /**
   * Ends the activations whose id does not belong here any more; what waits for them is told to try again. What they are
   * doing may take `graceMillis`, then it is interrupted.
   */
  disown(belongs: (id: string) => boolean, graceMillis: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const cells = Array.from(this.mailboxes.all)
      const working: Array<Cell> = []
      let next = 0
      const expel = Effect.whileLoop({
        while: () => next < cells.length,
        body: () => (next === 0 ? Effect.void : Effect.sleep(0)),
        step: () => {
          for (const end = Math.min(cells.length, next + sliceMax); next < end; next++) {
            const cell = cells[next]!
            if (!this.mailboxes.holds(cell) || belongs(cell.id)) continue
            this.turns.expel(cell)
            if (cell.running) working.push(cell)
          }
        }
      })
      const deadline = this.kind.now() + graceMillis
      const isOver = () => this.kind.now() >= deadline || working.every((cell) => !cell.running)
      const ended = Effect.whileLoop({ while: () => !isOver(), body: () => Effect.sleep(endedEvery), step: () => {} })
      const cut = Effect.sync(() => {
        for (const cell of working) this.turns.cut(cell)
      })
      return expel.pipe(Effect.zipRight(ended), Effect.zipRight(cut))
    })
  }

  get isQuiet(): boolean {
    return this.turns.isQuiet
  }

  /** Completes when no actor has work. */
  get whenQuiet(): Effect.Effect<void> {
    return this.turns.whenQuiet
  }

  /** From now on no pause between restarts is kept. */
  hurry(): void {
    this.turns.hurry()
  }

  /**
   * Refuses and interrupts what is left and closes the scopes. Returns within `graceMillis` whatever the handlers and
   * finalizers do; the count is of actors that had work.
   */
  stop(graceMillis: number): Effect.Effect<number> {
    return Effect.suspend(() => {
      if (this.kind.closing) return Effect.succeed(0)
      this.kind.closing = true
      const given = this.turns.giveUp()
      const open = Array.from(this.mailboxes.all).filter(
        ({ busy, scope }) => busy !== undefined || scope?.empty === false
      )
      return Effect.forEach(open, (cell) => this.turns.end(cell, Exit.void), {
        concurrency: closeConcurrency,
        discard: true
      }).pipe(within(graceMillis), Effect.zipRight(Effect.sync(() => this.mailboxes.stop())), Effect.as(given))
    })
  }
}

/** Runs for at most that long; what still runs then is interrupted without waiting for it. */
export const within =
  (millis: number) =>
  <A>(effect: Effect.Effect<A>): Effect.Effect<void> =>
    effect.pipe(Effect.disconnect, Effect.interruptible, Effect.timeoutOption(millis), Effect.asVoid)
