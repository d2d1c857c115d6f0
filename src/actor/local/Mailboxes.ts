import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { Alarm } from "./Alarm.ts"
import { Cell } from "./Cell.ts"
import { CellMap } from "./CellMap.ts"
import { closingRetryMillis, full, type Kind, stopped, timedOut } from "./Kind.ts"
import type { Message, Outcome } from "./Message.ts"
import * as Supervision from "../Supervision.ts"
import { Tombstones } from "./Tombstones.ts"

/** The actors of one type, and how a message gets in and out of their mailboxes. */
export class Mailboxes {
  private readonly kind: Kind
  private readonly work: (cell: Cell) => void
  private readonly cells = new CellMap()
  private readonly tombstones = new Tombstones()
  /** Asks that wait for their reply. */
  private readonly asks: Alarm<Message>
  /** Senders that wait for room. */
  private readonly waiting: Alarm<Message>

  /** `work` is called when a cell has a message and no drain fiber. */
  constructor(kind: Kind, work: (cell: Cell) => void) {
    this.kind = kind
    this.work = work
    const fork = (effect: Parameters<Kind["fork"]>[0]) => kind.fork(effect, true)
    const { askTimeoutMillis, waitMillis } = kind.definition
    this.asks = new Alarm<Message>(askTimeoutMillis, kind.now, fork, (ask) => this.settle(ask, timedOut(kind)))
    this.waiting = new Alarm<Message>(waitMillis, kind.now, fork, (message) => this.refuse(message))
  }

  get all(): IterableIterator<Cell> {
    return this.cells.values()
  }

  get(id: string): Cell | undefined {
    return this.cells.get(id)
  }

  /** Whether the cell still stands for its id. */
  holds(cell: Cell): boolean {
    return this.cells.get(cell.id) === cell
  }

  /** Puts the message in the mailbox of `id`, or settles it with why not. */
  offer(id: string, message: Message): void {
    if (this.kind.closing) return this.settle(message, stopped(this.kind, closingRetryMillis))
    const now = this.kind.now()
    const cell = this.cells.get(id) ?? this.raise(id, message, now)
    if (cell === undefined) return
    const { capacity, waitMillis } = this.kind.definition
    if (cell.depth < capacity) return this.accept(cell, message, now)
    const { waiters } = cell.work()
    if (waitMillis <= 0 || waiters.length >= capacity) return this.refuse(message)
    waiters.push(message)
    this.waiting.add(message, now)
  }

  /** The sender has gone: a message that has not begun is dropped when its turn comes. */
  abandon(message: Message): void {
    this.settle(message, Exit.interrupt(FiberId.none))
  }

  settle(message: Message, outcome: Outcome): void {
    if (message.listed) (message.accepted ? this.asks : this.waiting).remove(message)
    message.settle(outcome)
    const { span } = message
    if (span === undefined) return
    message.span = undefined
    span.end(this.kind.nowNanos(), outcome)
  }

  /** The next message, and room for one that waits. */
  take(cell: Cell): Message | undefined {
    const message = cell.shift()
    if (message === undefined) return undefined
    this.kind.tally.depth--
    const waiters = cell.busy?.waiters
    if (waiters !== undefined && waiters.length > 0) this.admit(cell, waiters)
    return message
  }

  /** Drops the messages at the head whose sender has gone; says whether one is left. */
  pending(cell: Cell): boolean {
    while (cell.head?.outcome !== undefined) this.take(cell)
    return cell.head !== undefined
  }

  /** Settles everything that waits in or for the mailbox. */
  empty(cell: Cell, outcome: Outcome): void {
    const waiters = cell.busy?.waiters.splice(0) ?? []
    for (let message = cell.shift(); message !== undefined; message = cell.shift()) {
      this.kind.tally.depth--
      this.settle(message, outcome)
    }
    for (const waiter of waiters) this.settle(waiter, outcome)
  }

  /** Takes the actor out of memory; its failures in the window stay known. */
  remove(cell: Cell): void {
    if (!this.holds(cell)) return
    this.cells.delete(cell.id)
    this.kind.tally.holds(this.cells.size)
    if (cell.failures === undefined) return
    Supervision.forget(this.kind.definition.supervision, cell.failures, this.kind.now())
    if (cell.failures.length > 0) this.tombstones.set(cell.id, { untilMillis: 0, failures: cell.failures })
  }

  /** Takes the actor out of memory and refuses its messages for a while. */
  bury(cell: Cell, retryAfterMillis: number): void {
    this.remove(cell)
    const untilMillis = this.kind.now() + retryAfterMillis
    this.tombstones.set(cell.id, { untilMillis, failures: cell.failures ?? [] })
    this.empty(cell, stopped(this.kind, retryAfterMillis))
  }

  /** Nothing times out any more. */
  stop(): void {
    this.asks.stop()
    this.waiting.stop()
    this.cells.clear()
    this.kind.tally.holds(0)
  }

  private raise(id: string, message: Message, now: number): Cell | undefined {
    const tombstone = this.tombstones.get(id)
    if (tombstone !== undefined && tombstone.untilMillis > now) {
      this.settle(message, stopped(this.kind, tombstone.untilMillis - now))
      return undefined
    }
    const cell = new Cell(id)
    if (tombstone !== undefined) {
      this.tombstones.delete(id)
      cell.failures = tombstone.failures
    }
    this.cells.add(cell)
    this.kind.tally.holds(this.cells.size)
    return cell
  }

  private accept(cell: Cell, message: Message, now: number): void {
    message.accepted = true
    message.arrivedMillis = now
    this.kind.tally.arrived(cell.depth)
    cell.push(message)
    if (message.ask) this.asks.add(message, now)
    message.onAccepted?.()
    if (!cell.running) this.work(cell)
  }

  private admit(cell: Cell, waiters: Array<Message>): void {
    while (waiters.length > 0 && cell.depth < this.kind.definition.capacity) {
      const waiter = waiters.shift()!
      if (waiter.outcome !== undefined) continue
      this.waiting.remove(waiter)
      this.accept(cell, waiter, this.kind.now())
    }
  }

  private refuse(message: Message): void {
    this.kind.tally.refuse()
    this.settle(message, Exit.fail(full(this.kind)))
  }
}
