import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { StaleOwner } from "../../errors.ts"
import { Alarm } from "./Alarm.ts"
import type { Cell } from "./Cell.ts"
import { isLater } from "../Definition.ts"
import { closingRetryMillis, crashed, type Kind, stopped } from "./Kind.ts"
import { LazyScope } from "./LazyScope.ts"
import type { Mailboxes } from "./Mailboxes.ts"
import type { Message, Outcome } from "./Message.ts"
import * as Supervision from "../Supervision.ts"

/** Drain fibers started inside each other before one is left to the scheduler: bounds the stack when actors ask on. */
export const nestedMax = 16

/** Thrown in a turn whose activation must end without having failed: its work was undone, or lives elsewhere. */
export class ActivationOver extends Error {}

/** A reply that is a stream, with the activation it belongs to. */
export interface Opened {
  readonly cell: Cell
  readonly epoch: number
  readonly stream: unknown
}

/** How the actors of one type work: one message after the other, by a fiber that exists only while there is work. */
export class Turns {
  private readonly kind: Kind
  private readonly mailboxes: () => Mailboxes
  private readonly idle: Alarm<Cell>
  private readonly quiet = new Set<() => void>()
  private readonly hurried = Effect.unsafeMakeLatch(false)
  /** Drain fibers, and replies produced after their turn. */
  private working = 0

  constructor(kind: Kind, mailboxes: () => Mailboxes) {
    this.kind = kind
    this.mailboxes = mailboxes
    const fork = (effect: Effect.Effect<void>) => kind.fork(effect, true)
    this.idle = new Alarm<Cell>(kind.definition.idleMillis, kind.now, fork, (cell) => this.passivate(cell))
  }

  /** Starts the drain fiber of a cell that has none. */
  start(cell: Cell): void {
    cell.running = true
    this.working++
    this.idle.remove(cell)
    const { shared } = this.kind
    const immediate = shared.nested < nestedMax
    shared.nested++
    try {
      const fiber = this.kind.fork(this.drain(cell), immediate)
      if (cell.running) cell.work().fiber = fiber
    } finally {
      shared.nested--
    }
  }

  /** After something that kept the actor at work has ended: a message may be due, or the actor may be idle now. */
  refresh(cell: Cell): void {
    if (cell.running || !this.mailboxes().holds(cell)) return this.tellQuiet()
    if (cell.duty !== "none" || this.mailboxes().pending(cell)) return this.start(cell)
    this.settleDown(cell)
    this.tellQuiet()
  }

  /** An actor with an open stream is not idle. */
  hold(cell: Cell): void {
    this.idle.remove(cell)
  }

  /** Puts away `count` idle actors, the ones idle for longest first; the result is how many there were. */
  putAway(count: number): Effect.Effect<number> {
    return this.idle.hasten(count)
  }

  /** Ends an activation after its turn, and tells what waits that the actor is elsewhere. */
  expel(cell: Cell): void {
    this.mailboxes().empty(cell, stopped(this.kind, 0))
    this.idle.remove(cell)
    if (cell.running) cell.duty = cell.duty === "none" ? "passivate" : cell.duty
    else this.passivate(cell)
  }

  /** Ends an activation that goes on after it was expelled: its turn is interrupted. */
  cut(cell: Cell): void {
    const { busy } = cell
    const fiber = busy?.fiber
    if (busy === undefined || fiber === undefined || !cell.running) return
    if (busy.current !== undefined) this.mailboxes().settle(busy.current, stopped(this.kind, 0))
    fiber.addObserver(() => {
      this.working--
      busy.fiber = undefined
      busy.current = undefined
      cell.duty = "passivate"
      this.start(cell)
    })
    fiber.unsafeInterruptAsFork(FiberId.none)
  }

  /** Ends the pauses between restarts, so that a drain does not wait for them. */
  hurry(): void {
    this.hurried.unsafeOpen()
  }

  /** Completes when no actor has work. */
  readonly whenQuiet: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.working === 0) return resume(Effect.void)
    const tell = () => {
      this.quiet.delete(tell)
      resume(Effect.void)
    }
    this.quiet.add(tell)
    return Effect.sync(() => void this.quiet.delete(tell))
  })

  get isQuiet(): boolean {
    return this.working === 0
  }

  /** Interrupts what is at work and answers its messages; returns how many actors that were. */
  giveUp(): number {
    this.idle.stop()
    let given = 0
    const outcome = stopped(this.kind, closingRetryMillis)
    for (const cell of this.mailboxes().all) {
      const { busy } = cell
      if (busy === undefined) continue
      if (cell.running || busy.replies.size > 0) given++
      if (busy.current !== undefined) this.mailboxes().settle(busy.current, outcome)
      for (const message of busy.replies.values()) this.mailboxes().settle(message, outcome)
      this.mailboxes().empty(cell, outcome)
      busy.fiber?.unsafeInterruptAsFork(FiberId.none)
    }
    return given
  }

  /**
   * Ends one activation: its open replies and streams, then its scope. When it did not fail, because the actor lives
   * elsewhere by now, those who wait for a reply are told to try again.
   */
  end(cell: Cell, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { busy, scope } = cell
      cell.behaviour = undefined
      cell.scope = undefined
      cell.epoch++
      if (busy !== undefined) {
        for (const [fiber, message] of busy.replies) {
          if (exit._tag === "Success") this.mailboxes().settle(message, stopped(this.kind, 0))
          fiber.unsafeInterruptAsFork(FiberId.none)
        }
        for (const endStream of busy.streams) endStream()
        busy.streams.clear()
      }
      return scope === undefined ? Effect.void : closeScope(scope, exit)
    })
  }

  private drain(cell: Cell): Effect.Effect<void> {
    return Effect.whileLoop({
      while: () => this.hasWork(cell),
      body: () => this.turn(cell),
      step: (result: unknown) => {
        const message = cell.busy?.current
        if (message !== undefined) this.endTurn(cell, message, result as Outcome)
      }
    })
  }

  private hasWork(cell: Cell): boolean {
    if (cell.duty !== "none" || this.mailboxes().pending(cell)) return true
    cell.running = false
    this.working--
    if (cell.busy !== undefined) cell.busy.fiber = undefined
    this.settleDown(cell)
    this.tellQuiet()
    return false
  }

  private settleDown(cell: Cell): void {
    if (cell.busy?.over === true) cell.busy = undefined
    if (cell.behaviour === undefined) this.mailboxes().remove(cell)
    else if (cell.busy === undefined) this.idle.add(cell, this.kind.now())
  }

  private tellQuiet(): void {
    if (this.working === 0) for (const tell of this.quiet) tell()
  }

  private turn(cell: Cell): Effect.Effect<unknown> {
    if (cell.duty === "recover") return this.recover(cell)
    if (cell.duty === "passivate") return this.retire(cell)
    if (cell.behaviour === undefined) return this.activate(cell)
    const busy = cell.work()
    if (busy.replies.size >= this.kind.definition.capacity) {
      return Effect.async<void>((resume) => {
        busy.wake = () => resume(Effect.void)
      })
    }
    const message = this.mailboxes().take(cell)!
    message.begun = true
    busy.current = message
    this.kind.tally.taken(this.kind.now() - message.arrivedMillis)
    return Effect.exit(this.invoke(cell, message))
  }

  private invoke(cell: Cell, message: Message): Effect.Effect<unknown, unknown> {
    let result: unknown
    try {
      result =
        message.work === undefined
          ? cell.behaviour![message.tag]!(message.payload as never)
          : message.work(cell.behaviour!)
    } catch (defect) {
      return Effect.die(defect)
    }
    if (!Effect.isEffect(result)) return Effect.succeed(result)
    return this.traced(message, result as Effect.Effect<unknown, unknown>)
  }

  /** Below a span of the message when its sender has one. `Effect.withSpan` would cost the rest of a turn twice. */
  private traced(message: Message, effect: Effect.Effect<unknown, unknown>): Effect.Effect<unknown, unknown> {
    const { trace } = message
    if (trace === undefined) return effect
    return Effect.withFiberRuntime((fiber) => {
      const name = `${this.kind.definition.name}/${message.tag}`
      const parent = Option.some(trace.span)
      const now = this.kind.nowNanos()
      const span = (message.span ??= trace.tracer.span(name, parent, Context.empty(), [], now, "consumer"))
      const below = Effect.provideService(effect, Tracer.ParentSpan, span)
      return fiber.currentTracer === trace.tracer ? below : Effect.withTracer(below, trace.tracer)
    })
  }

  private endTurn(cell: Cell, message: Message, exit: Outcome): void {
    cell.work().current = undefined
    this.kind.tally.done()
    if (exit._tag === "Failure") return this.answer(cell, message, exit)
    if (isLater(exit.value)) return this.replyLater(cell, message, exit.value.effect as Effect.Effect<unknown>)
    if (!this.kind.definition.streams.has(message.tag)) return this.mailboxes().settle(message, exit)
    const opened: Opened = { cell, epoch: cell.epoch, stream: exit.value }
    this.mailboxes().settle(message, Exit.succeed(opened))
  }

  /** The reply, or for a defect the typed failure at once and then what the supervision says. */
  private answer(cell: Cell, message: Message, exit: Outcome): void {
    if (exit._tag === "Success") return this.mailboxes().settle(message, exit)
    if (isOver(exit.cause)) return this.leave(cell, message)
    if (isTyped(exit.cause)) return this.mailboxes().settle(message, exit)
    if (this.kind.closing) return this.mailboxes().settle(message, stopped(this.kind, closingRetryMillis))
    this.mailboxes().settle(message, crashed(this.kind))
    this.kind.tally.crashed()
    this.kind.shared.deadLetters.add(this.kind.definition.name, cell.id, message, exit.cause, this.kind.now())
    cell.work().failure = exit.cause
    cell.duty = "recover"
  }

  /** The actor lives elsewhere by now. That is nobody's fault: the sender may try again, and this activation ends. */
  private leave(cell: Cell, message: Message): void {
    this.mailboxes().settle(message, stopped(this.kind, 0))
    cell.duty = "passivate"
  }

  private replyLater(cell: Cell, message: Message, effect: Effect.Effect<unknown, unknown>): void {
    const { epoch } = cell
    const busy = cell.work()
    this.working++
    const fiber = this.kind.fork(this.traced(message, effect), true)
    busy.replies.set(fiber, message)
    fiber.addObserver((exit) => {
      this.working--
      busy.replies.delete(fiber)
      if (cell.epoch === epoch) this.answer(cell, message, exit)
      else this.mailboxes().settle(message, isSettled(exit) ? exit : crashed(this.kind))
      const { wake } = busy
      busy.wake = undefined
      wake?.()
      this.refresh(cell)
    })
  }

  private activate(cell: Cell): Effect.Effect<void> {
    const scope = LazyScope.make()
    const self = { id: cell.id, actor: this.kind.definition.name }
    return Effect.uninterruptibleMask((restore) =>
      restore(
        Scope.extend(
          Effect.suspend(() => this.kind.activate(self)),
          scope
        )
      ).pipe(
        Effect.matchCauseEffect({
          onSuccess: (behaviour) =>
            Effect.sync(() => {
              cell.behaviour = behaviour
              cell.scope = scope
              cell.epoch++
            }),
          onFailure: (cause) =>
            Effect.zipRight(closeScope(scope, Exit.failCause(cause)), this.activationFailed(cell, cause))
        })
      )
    )
  }

  private activationFailed(cell: Cell, cause: Cause.Cause<unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.kind.tally.crashed()
      const { supervision } = this.kind.definition
      const failures = (cell.failures ??= [])
      const verdict = Supervision.judge(supervision, failures, this.kind.now())
      const pause = Supervision.delayMillis(supervision, failures.length)
      return this.bury(cell, verdict._tag === "Stop" ? verdict.retryAfterMillis : pause, "did not start", cause)
    })
  }

  private recover(cell: Cell): Effect.Effect<void> {
    const busy = cell.work()
    const cause = busy.failure ?? Cause.empty
    busy.failure = undefined
    cell.duty = "none"
    const { name, supervision } = this.kind.definition
    const verdict = Supervision.judge(supervision, (cell.failures ??= []), this.kind.now())
    if (verdict._tag === "Stop") {
      if (supervision.strategy === "escalate") this.kind.shared.escalate(name, cause)
      return this.bury(cell, verdict.retryAfterMillis, "stopped", cause)
    }
    const pause =
      verdict.delayMillis > 0 ? Effect.raceFirst(Effect.sleep(verdict.delayMillis), this.hurried.await) : Effect.void
    if (supervision.strategy === "resume") return Effect.zipRight(this.log(cell, "went on", cause), pause)
    this.kind.tally.restarted()
    return this.end(cell, Exit.failCause(cause)).pipe(
      Effect.zipRight(this.log(cell, "started again", cause)),
      Effect.zipRight(pause)
    )
  }

  /** Stops the actor and leaves a tombstone that refuses messages for a while. */
  private bury(cell: Cell, retryAfterMillis: number, what: string, cause: Cause.Cause<unknown>): Effect.Effect<void> {
    this.kind.tally.stop()
    return this.end(cell, Exit.failCause(cause)).pipe(
      Effect.zipRight(Effect.sync(() => this.mailboxes().bury(cell, retryAfterMillis))),
      Effect.zipRight(this.log(cell, what, cause))
    )
  }

  private log(cell: Cell, what: string, cause: Cause.Cause<unknown>): Effect.Effect<void> {
    return Effect.logWarning(`Actor ${this.kind.definition.name} ${what} after a failure`, cause).pipe(
      Effect.annotateLogs("id", cell.id)
    )
  }

  private passivate(cell: Cell): void {
    this.kind.tally.passivated()
    if (cell.busy !== undefined || cell.scope?.empty === false) {
      cell.duty = "passivate"
      return this.start(cell)
    }
    cell.behaviour = undefined
    this.mailboxes().remove(cell)
  }

  private retire(cell: Cell): Effect.Effect<void> {
    cell.duty = "none"
    return this.end(cell, Exit.void)
  }
}

const isTyped = (cause: Cause.Cause<unknown>): boolean =>
  Option.isSome(Cause.failureOption(cause)) && Option.isNone(Cause.dieOption(cause))

/** Whether a write found another owner, told as a failure or as a defect, or the turn was undone. */
const isOver = (cause: Cause.Cause<unknown>): boolean => {
  const reason = Cause.squash(cause)
  return reason instanceof StaleOwner || reason instanceof ActivationOver
}

const isSettled = (exit: Outcome): boolean => exit._tag === "Success" || isTyped(exit.cause)

const closeScope = (scope: Scope.CloseableScope, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Scope.close(scope, exit).pipe(
    Effect.catchAllCause((cause) => Effect.logWarning("A finalizer of an actor failed", cause)),
    Effect.uninterruptible
  )
