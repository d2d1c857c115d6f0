import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ActorCrashed, ActorStopped, AskTimeout, MailboxFull } from "../errors.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Busy, Cell, LazyScope } from "./Cell.ts"
import { Deadlines, type Due } from "./Deadlines.ts"
import type { DeadLetters } from "./DeadLetters.ts"
import { isLater, type Registration } from "./Definition.ts"
import { Message, type Outcome } from "./Message.ts"
import * as Supervision from "./Supervision.ts"

/** Actors that stopped after too many failures and are remembered, per type; beyond it the oldest is forgotten. */
export const tombstonesMax = 10_000

/** Due entries handled before the event loop gets its turn. */
export const sliceMax = 256

/** Actors that call each other without a turn of the scheduler between; deeper calls are scheduled. */
export const nestedMax = 16

/** Time that finalizers get after the deadline of a drain. */
export const closeGraceMillis = 250

/** What a type has done since it was registered, and what it holds now. */
export interface Stats {
  readonly actor: string
  readonly active: number
  /** Messages that wait in all mailboxes together. */
  readonly depth: number
  readonly processed: number
  /** Defects of handlers and failed activations. */
  readonly failures: number
  readonly restarts: number
  readonly stopped: number
  readonly passivations: number
  /** Messages refused because a mailbox was full. */
  readonly refused: number
  /** Time that processed messages waited in the mailbox, summed and at most. */
  readonly waitedMillis: number
  readonly waitedMillisMax: number
}

interface Tombstone {
  readonly untilMillis: number
  readonly failures: Array<number>
}

/** A reply that is a stream, with the activation it belongs to. */
export interface Opened {
  readonly cell: Cell
  readonly epoch: number
  readonly stream: Stream.Stream<unknown, unknown>
}

/** What the actors of all types in one system share. */
export interface Shared {
  readonly deadLetters: DeadLetters
  readonly escalate: (actor: string, cause: Cause.Cause<unknown>) => void
  nested: number
}

/** All actors of one type in this process. */
export class Cells {
  readonly registration: Registration
  private readonly definition: Registration["definition"]
  private readonly runtime: Runtime.Runtime<never>
  private readonly clock: Clock.Clock
  private readonly shared: Shared
  private readonly cells = new Map<string, Cell>()
  private readonly tombstones = new Map<string, Tombstone>()
  private readonly idle: Deadlines<Cell>
  private readonly asks: Deadlines<Message>
  private readonly waiting: Deadlines<Message>
  private readonly watched = new Set<unknown>()
  private readonly metrics: TypeMetrics
  private readonly quiet = new Set<() => void>()
  private working = 0
  private closing = false
  private depth = 0
  private processed = 0
  private failures = 0
  private restarts = 0
  private stopped = 0
  private passivations = 0
  private refused = 0
  private waitedMillis = 0
  private waitedMillisMax = 0

  constructor(registration: Registration, runtime: Runtime.Runtime<never>, clock: Clock.Clock, shared: Shared) {
    this.registration = registration
    this.definition = registration.definition
    this.runtime = runtime
    this.clock = clock
    this.shared = shared
    this.idle = new Deadlines(this.definition.idleMillis)
    this.asks = new Deadlines(this.definition.askTimeoutMillis)
    this.waiting = new Deadlines(this.definition.waitMillis)
    this.metrics = metricsOf(this.definition.name)
  }

  /** Puts the message in the mailbox of `id`, which it activates when needed, or settles it with why not. */
  offer(id: string, message: Message): void {
    const now = this.clock.unsafeCurrentTimeMillis()
    if (this.closing) return this.settle(message, this.refusal(closingRetryMillis))
    const cell = this.cells.get(id) ?? this.raise(id, message, now)
    if (cell === undefined) return
    if (cell.depth < this.definition.capacity) return this.accept(cell, message, now)
    const busy = this.busy(cell)
    if (this.definition.waitMillis <= 0 || busy.waiters.length >= this.definition.capacity) {
      return this.refuse(message)
    }
    busy.waiters.push(message)
    this.waiting.add(message, now)
    this.watch(this.waiting, (due) => this.refuse(due as Message))
  }

  /** The sender has gone: a message that has not begun is dropped when its turn comes. */
  abandon(message: Message): void {
    this.settle(message, Exit.interrupt(FiberId.none))
  }

  isActive(id: string): boolean {
    return this.cells.get(id)?.behaviour !== undefined
  }

  stats(): Stats {
    return {
      actor: this.definition.name,
      active: this.cells.size,
      depth: this.depth,
      processed: this.processed,
      failures: this.failures,
      restarts: this.restarts,
      stopped: this.stopped,
      passivations: this.passivations,
      refused: this.refused,
      waitedMillis: this.waitedMillis,
      waitedMillisMax: this.waitedMillisMax
    }
  }

  private raise(id: string, message: Message, now: number): Cell | undefined {
    const tombstone = this.tombstones.get(id)
    if (tombstone !== undefined && tombstone.untilMillis > now) {
      this.settle(message, this.refusal(tombstone.untilMillis - now))
      return undefined
    }
    const cell = new Cell(id)
    if (tombstone !== undefined) {
      this.tombstones.delete(id)
      cell.failures = tombstone.failures
    }
    this.cells.set(id, cell)
    this.metrics.active.unsafeUpdate(this.cells.size, [])
    return cell
  }

  private busy(cell: Cell): Busy {
    return (cell.busy ??= new Busy())
  }

  private accept(cell: Cell, message: Message, now: number): void {
    message.accepted = true
    message.arrivedMillis = now
    cell.push(message)
    this.depth++
    if (message.ask) {
      this.asks.add(message, now)
      this.watch(this.asks, (due) => this.settle(due as Message, this.timeout()))
    }
    message.onAccepted?.()
    if (!cell.running) this.start(cell)
  }

  private refuse(message: Message): void {
    this.refused++
    this.metrics.mailboxFull.unsafeUpdate(1, [])
    this.settle(
      message,
      Exit.fail(new MailboxFull({ actor: this.definition.name, capacity: this.definition.capacity }))
    )
  }

  private settle(message: Message, outcome: Outcome): void {
    if (message.listed) (message.accepted ? this.asks : this.waiting).remove(message)
    message.settle(outcome)
  }

  private timeout(): Outcome {
    return Exit.fail(new AskTimeout({ actor: this.definition.name, timeoutMillis: this.definition.askTimeoutMillis }))
  }

  private refusal(retryAfterMillis: number): Outcome {
    return Exit.fail(new ActorStopped({ actor: this.definition.name, retryAfterMillis: Math.ceil(retryAfterMillis) }))
  }

  private crash(): Outcome {
    return Exit.fail(new ActorCrashed({ actor: this.definition.name }))
  }

  private start(cell: Cell): void {
    cell.running = true
    this.working++
    this.idle.remove(cell)
    const immediate = this.shared.nested < nestedMax
    this.shared.nested++
    try {
      const fiber = Runtime.runFork(this.runtime)(this.drain(cell), { immediate })
      if (cell.running) this.busy(cell).fiber = fiber
    } finally {
      this.shared.nested--
    }
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
    if (cell.duty !== "none") return true
    while (cell.head !== undefined && cell.head.outcome !== undefined) this.take(cell)
    if (cell.head !== undefined) return true
    this.rest(cell)
    return false
  }

  private rest(cell: Cell): void {
    cell.running = false
    this.working--
    const busy = cell.busy
    if (busy !== undefined) {
      busy.fiber = undefined
      if (busy.replies.size === 0 && busy.streams.size === 0 && busy.waiters.length === 0) cell.busy = undefined
    }
    if (cell.behaviour === undefined) this.remove(cell)
    else if (cell.busy === undefined) this.becomeIdle(cell)
    if (this.working === 0) for (const tell of this.quiet) tell()
  }

  private becomeIdle(cell: Cell): void {
    if (!Number.isFinite(this.idle.delayMillis)) return
    this.idle.add(cell, this.clock.unsafeCurrentTimeMillis())
    this.watch(this.idle, (due) => this.passivate(due as Cell))
  }

  private remove(cell: Cell): void {
    this.cells.delete(cell.id)
    this.metrics.active.unsafeUpdate(this.cells.size, [])
    if (cell.failures === undefined) return
    const now = this.clock.unsafeCurrentTimeMillis()
    Supervision.forget(this.definition.supervision, cell.failures, now)
    if (cell.failures.length > 0) this.remember(cell, 0)
  }

  private remember(cell: Cell, untilMillis: number): void {
    this.tombstones.delete(cell.id)
    this.tombstones.set(cell.id, { untilMillis, failures: cell.failures ?? [] })
    if (this.tombstones.size > tombstonesMax) {
      for (const oldest of this.tombstones.keys()) {
        this.tombstones.delete(oldest)
        break
      }
    }
  }

  private take(cell: Cell): Message | undefined {
    const message = cell.shift()
    if (message === undefined) return undefined
    this.depth--
    const waiters = cell.busy?.waiters
    while (waiters !== undefined && waiters.length > 0 && cell.depth < this.definition.capacity) {
      const waiter = waiters.shift()!
      if (waiter.outcome !== undefined) continue
      this.waiting.remove(waiter)
      this.accept(cell, waiter, this.clock.unsafeCurrentTimeMillis())
    }
    return message
  }

  private turn(cell: Cell): Effect.Effect<unknown> {
    if (cell.duty === "recover") return this.recover(cell)
    if (cell.duty === "passivate") return this.retire(cell)
    if (cell.behaviour === undefined) return this.activate(cell)
    const busy = this.busy(cell)
    if (busy.replies.size >= this.definition.capacity) {
      return Effect.async<void>((resume) => {
        busy.wake = () => resume(Effect.void)
      })
    }
    const message = this.take(cell)!
    busy.current = message
    const waited = this.clock.unsafeCurrentTimeMillis() - message.arrivedMillis
    this.waitedMillis += waited
    if (waited > this.waitedMillisMax) this.waitedMillisMax = waited
    this.metrics.waitSeconds.unsafeUpdate(waited / 1_000, [])
    return Effect.exit(this.invoke(cell, message))
  }

  private invoke(cell: Cell, message: Message): Effect.Effect<unknown, unknown> {
    let result: unknown
    try {
      result = cell.behaviour![message.tag]!(message.payload as never)
    } catch (defect) {
      return Effect.die(defect)
    }
    if (!Effect.isEffect(result)) return Effect.succeed(result)
    const effect = result as Effect.Effect<unknown, unknown>
    if (message.span === undefined) return effect
    return Effect.withSpan(effect, `${this.definition.name}/${message.tag}`, {
      parent: message.span,
      kind: "consumer",
      captureStackTrace: false
    })
  }

  private endTurn(cell: Cell, message: Message, exit: Outcome): void {
    const busy = cell.busy!
    busy.current = undefined
    this.processed++
    this.metrics.messages.unsafeUpdate(1, [])
    if (exit._tag === "Failure") return this.answer(cell, message, exit)
    if (isLater(exit.value)) return this.replyLater(cell, busy, message, exit.value.effect as Effect.Effect<unknown>)
    if (!this.definition.streams.has(message.tag)) return this.settle(message, exit)
    const opened: Opened = { cell, epoch: cell.epoch, stream: exit.value as Opened["stream"] }
    this.settle(message, Exit.succeed(opened))
  }

  private answer(cell: Cell, message: Message, exit: Outcome): void {
    if (exit._tag === "Success" || isTyped(exit.cause)) return this.settle(message, exit)
    if (this.closing) return this.settle(message, this.refusal(closingRetryMillis))
    this.settle(message, this.crash())
    this.failures++
    this.metrics.crashes.unsafeUpdate(1, [])
    this.shared.deadLetters.add(
      this.definition.name,
      cell.id,
      message,
      exit.cause,
      this.clock.unsafeCurrentTimeMillis()
    )
    this.busy(cell).failure = exit.cause
    cell.duty = "recover"
  }

  private replyLater(cell: Cell, busy: Busy, message: Message, effect: Effect.Effect<unknown, unknown>): void {
    const epoch = cell.epoch
    this.working++
    const fiber = Runtime.runFork(this.runtime)(effect)
    busy.replies.add(fiber)
    fiber.addObserver((exit) => {
      this.working--
      busy.replies.delete(fiber)
      if (cell.epoch !== epoch)
        this.settle(message, exit._tag === "Failure" && !isTyped(exit.cause) ? this.crash() : exit)
      else this.answer(cell, message, exit)
      const wake = busy.wake
      busy.wake = undefined
      if (wake !== undefined) wake()
      this.refresh(cell)
    })
  }

  /** After something outside the turns has ended: work may be due, or the actor may be idle now. */
  private refresh(cell: Cell): void {
    if (!cell.running && this.cells.get(cell.id) === cell) this.start(cell)
    else if (this.working === 0) for (const tell of this.quiet) tell()
  }

  private activate(cell: Cell): Effect.Effect<void> {
    const scope = new LazyScope()
    const self = { id: cell.id, actor: this.definition.name }
    return Effect.suspend(() => this.registration.activate(self)).pipe(
      Scope.extend(scope as unknown as Scope.CloseableScope),
      Effect.matchCauseEffect({
        onSuccess: (behaviour) =>
          Effect.sync(() => {
            cell.behaviour = behaviour
            cell.scope = scope
            cell.epoch++
          }),
        onFailure: (cause) =>
          Effect.zipRight(closeQuietly(scope, Exit.failCause(cause)), this.activationFailed(cell, cause))
      })
    )
  }

  private activationFailed(cell: Cell, cause: Cause.Cause<unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.closing) return this.bury(cell, closingRetryMillis, cause)
      this.failures++
      this.metrics.crashes.unsafeUpdate(1, [])
      const now = this.clock.unsafeCurrentTimeMillis()
      const { supervision } = this.definition
      const failures = (cell.failures ??= [])
      const verdict = Supervision.judge(supervision, failures, now)
      const retry =
        verdict._tag === "Stop" ? verdict.retryAfterMillis : Supervision.delayMillis(supervision, failures.length)
      return Effect.zipRight(this.bury(cell, retry, cause), this.log(cell, "did not start", cause))
    })
  }

  private recover(cell: Cell): Effect.Effect<void> {
    const busy = this.busy(cell)
    const cause = busy.failure ?? Cause.empty
    busy.failure = undefined
    cell.duty = "none"
    const now = this.clock.unsafeCurrentTimeMillis()
    const { strategy } = this.definition.supervision
    const verdict = Supervision.judge(this.definition.supervision, (cell.failures ??= []), now)
    if (verdict._tag === "Stop") {
      if (strategy === "escalate") this.shared.escalate(this.definition.name, cause)
      return Effect.zipRight(this.bury(cell, verdict.retryAfterMillis, cause), this.log(cell, "stopped", cause))
    }
    const pause = verdict.delayMillis > 0 ? Effect.sleep(verdict.delayMillis) : Effect.void
    if (strategy === "resume") return Effect.zipRight(this.log(cell, "resumed", cause), pause)
    this.restarts++
    this.metrics.restarts.unsafeUpdate(1, [])
    return this.end(cell, Exit.failCause(cause)).pipe(
      Effect.zipRight(this.log(cell, "restarted", cause)),
      Effect.zipRight(pause)
    )
  }

  private log(cell: Cell, what: string, cause: Cause.Cause<unknown>): Effect.Effect<void> {
    return Effect.logWarning(`Actor ${this.definition.name} ${what} after a failure`, cause).pipe(
      Effect.annotateLogs("id", cell.id)
    )
  }

  /** Ends one activation: its open replies and streams, then its scope. */
  private end(cell: Cell, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const scope = cell.scope
      cell.behaviour = undefined
      cell.scope = undefined
      cell.epoch++
      const busy = cell.busy
      if (busy !== undefined) {
        for (const fiber of busy.replies) fiber.unsafeInterruptAsFork(FiberId.none)
        for (const endStream of busy.streams) endStream()
        busy.streams.clear()
      }
      return scope === undefined ? Effect.void : closeQuietly(scope, exit)
    })
  }

  /** Stops the actor and leaves a tombstone that refuses messages for `retryAfterMillis`. */
  private bury(cell: Cell, retryAfterMillis: number, cause: Cause.Cause<unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.stopped++
      this.metrics.stops.unsafeUpdate(1, [])
      return Effect.zipRight(
        this.end(cell, Exit.failCause(cause)),
        Effect.sync(() => {
          const refusal = this.refusal(retryAfterMillis)
          this.remember(cell, this.clock.unsafeCurrentTimeMillis() + retryAfterMillis)
          this.cells.delete(cell.id)
          cell.failures = undefined
          this.empty(cell, refusal)
        })
      )
    })
  }

  /** Settles everything that waits. */
  private empty(cell: Cell, outcome: Outcome): void {
    const waiters = cell.busy?.waiters.splice(0) ?? []
    for (let message = cell.shift(); message !== undefined; message = cell.shift()) {
      this.depth--
      this.settle(message, outcome)
    }
    for (const waiter of waiters) this.settle(waiter, outcome)
  }

  private passivate(cell: Cell): void {
    this.passivations++
    this.metrics.passivations.unsafeUpdate(1, [])
    if (cell.scope === undefined || cell.scope.empty) {
      cell.behaviour = undefined
      this.remove(cell)
      return
    }
    cell.duty = "passivate"
    this.start(cell)
  }

  private retire(cell: Cell): Effect.Effect<void> {
    cell.duty = "none"
    return this.end(cell, Exit.void)
  }

  /** Keeps one fiber asleep until the first of the list is due, while the list holds anything. */
  private watch<A extends Due>(list: Deadlines<A>, expire: (due: A) => void): void {
    if (this.watched.has(list)) return
    this.watched.add(list)
    Runtime.runFork(this.runtime)(
      Effect.whileLoop({
        while: () => {
          if (list.first !== undefined && !this.closing) return true
          this.watched.delete(list)
          return false
        },
        body: () => Effect.sleep(Math.max(0, list.first!.dueMillis - this.clock.unsafeCurrentTimeMillis())),
        step: () => {
          const now = this.clock.unsafeCurrentTimeMillis()
          for (let handled = 0; handled < sliceMax; handled++) {
            const due = list.first
            if (due === undefined || due.dueMillis > now) return
            list.remove(due)
            expire(due)
          }
        }
      })
    )
  }

  /** A streamed reply, for as long as its activation lives. */
  readonly open = (opened: Opened): Stream.Stream<unknown, unknown> =>
    Stream.unwrapScoped(
      Effect.gen(this, function* () {
        const { cell, epoch, stream } = opened
        const ended = yield* Effect.makeLatch(false)
        const stop = () => void ended.unsafeOpen()
        yield* Effect.acquireRelease(
          Effect.suspend(() => {
            if (cell.epoch !== epoch) return this.refusal(0)
            const { streams } = this.busy(cell)
            if (streams.size >= this.definition.capacity) {
              return new MailboxFull({ actor: this.definition.name, capacity: this.definition.capacity })
            }
            streams.add(stop)
            this.idle.remove(cell)
            return Effect.void
          }),
          () =>
            Effect.sync(() => {
              if (cell.busy?.streams.delete(stop) === true) this.refresh(cell)
            })
        )
        return stream.pipe(
          Stream.provideContext(this.registration.context),
          Stream.interruptWhen(Effect.zipRight(ended.await, this.refusal(0)))
        )
      })
    )

  /**
   * Lets the actors finish what they have until `deadlineMillis`, then refuses and interrupts the rest. Returns within
   * `closeGraceMillis` of the deadline whatever the handlers and finalizers do; the count is of actors given up.
   */
  readonly close = (deadlineMillis: number): Effect.Effect<number> =>
    Effect.suspend(() => {
      const left = Math.max(0, deadlineMillis - this.clock.unsafeCurrentTimeMillis())
      return within(this.whenQuiet, left).pipe(
        Effect.zipRight(Effect.suspend(() => this.giveUp())),
        Effect.tap(() => within(this.closeAll, closeGraceMillis))
      )
    })

  private readonly whenQuiet = Effect.async<void>((resume) => {
    const tell = () => {
      this.quiet.delete(tell)
      resume(Effect.void)
    }
    if (this.working === 0) return tell()
    this.quiet.add(tell)
    return Effect.sync(() => void this.quiet.delete(tell))
  })

  private giveUp(): Effect.Effect<number> {
    return Effect.sync(() => {
      this.closing = true
      let given = 0
      for (const cell of this.cells.values()) {
        if (!cell.running && cell.busy === undefined) continue
        const busy = this.busy(cell)
        if (cell.running || busy.replies.size > 0) given++
        const refusal = this.refusal(closingRetryMillis)
        if (busy.current !== undefined) this.settle(busy.current, refusal)
        this.empty(cell, refusal)
        busy.fiber?.unsafeInterruptAsFork(FiberId.none)
      }
      return given
    })
  }

  private readonly closeAll = Effect.suspend(() =>
    Effect.forEach(
      Array.from(this.cells.values()).filter((cell) => cell.scope?.empty === false || cell.busy !== undefined),
      (cell) => this.end(cell, Exit.void),
      { concurrency: 16, discard: true }
    ).pipe(Effect.zipRight(Effect.sync(() => this.cells.clear())))
  )
}

const metricsOf = (actor: string) => ({
  messages: Metrics.series(Metrics.actorMessages, actor),
  mailboxFull: Metrics.series(Metrics.actorMailboxFull, actor),
  crashes: Metrics.series(Metrics.actorCrashes, actor),
  restarts: Metrics.series(Metrics.actorRestarts, actor),
  stops: Metrics.series(Metrics.actorStops, actor),
  passivations: Metrics.series(Metrics.actorPassivations, actor),
  waitSeconds: Metrics.series(Metrics.actorWaitSeconds, actor),
  active: Metrics.series(Metrics.actorsActive, actor)
})

type TypeMetrics = ReturnType<typeof metricsOf>

/** What a refused sender is told while the process shuts down: another one serves the actor then. */
const closingRetryMillis = 1_000

const isTyped = (cause: Cause.Cause<unknown>): boolean =>
  Option.isSome(Cause.failureOption(cause)) && Option.isNone(Cause.dieOption(cause))

const closeQuietly = (scope: LazyScope, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.catchAllCause(scope.close(exit), (cause) => Effect.logWarning("A finalizer of an actor failed", cause))

/** Runs for at most that long; what is still running then is interrupted without waiting for it. */
const within = <A>(effect: Effect.Effect<A>, millis: number): Effect.Effect<void> =>
  effect.pipe(Effect.interruptible, Effect.disconnect, Effect.timeoutOption(millis), Effect.asVoid)
