import { SqlError } from "@effect/sql/SqlError"
import * as Either from "effect/Either"
import type { Driver } from "./Driver.ts"
import { type Holder, Lane } from "./Lane.ts"

/** Callers that may wait for a connection; one more is refused at once. */
export const waitersMax = 1_000

/** How long a caller waits for a connection before it is refused. */
export const acquireMillisMax = 5_000

/** A connection that nobody used for this long is closed when there are more than the minimum. */
export const idleMillisMax = 60_000

/** How long a cancelled statement may keep its connection before that is closed. */
export const cancelMillisMax = 5_000

/**
 * How long no further attempt to connect is made after a refused one. Callers are left to the connections that there are;
 * without any they are refused with the same reason.
 */
export const reconnectMillis = 100

/**
 * Statements that go one behind the other before the next connection is taken: a few deep connections cost the server
 * fewer wake-ups than many shallow ones.
 */
export const depthWanted = 8

/** SQLSTATE too_many_connections: callers treat it like the server's own refusal. */
const refused = (message: string) =>
  new SqlError({ message, cause: Object.assign(new Error(message), { code: "53300" }) })

export interface PoolOptions {
  readonly driver: Driver
  readonly max: number
  readonly min: number
  readonly now: () => number
  readonly waitersMax?: number
}

/**
 * Connections of one server, first come first served but for those who yield. Each is with one caller alone, or with
 * several that share it, whose statements the server answers in turn.
 */
export interface Pool {
  readonly now: () => number
  /** Calls `granted` or `refused` once, maybe before it returns. */
  readonly acquire: (holder: Holder) => void
  /** Whether it still waited; it gets nothing then. */
  readonly withdraw: (holder: Holder) => boolean
  /** Gives its place back; a closed connection is replaced when somebody needs it. */
  readonly release: (lane: Lane, holder: Holder) => void
  /**
   * It leaves in the middle of a statement, which is cancelled until it ends; then comes `release`. A connection on which
   * it does not end is closed.
   */
  readonly abandon: (lane: Lane, holder: Holder, cancel: () => void) => void
  /** `release` of a connection that is not worth keeping: those who share it may finish. */
  readonly discard: (lane: Lane, holder: Holder) => void
  /**
   * Refuses those who waited too long, has reservations end what takes too long, and closes what is idle, broken or stuck.
   * Called every `sweepMillis`.
   */
  readonly sweep: () => void
  readonly figures: () => {
    readonly max: number
    readonly open: number
    readonly inUse: number
    readonly waiting: number
  }
  readonly close: () => void
}

/** Time between two sweeps, and so how late a deadline may be noticed. */
export const sweepMillis = 100

interface Abandoned {
  readonly lane: Lane
  readonly cancel: () => void
  readonly since: number
}

/** Since when each waits. Who does not yield goes first. */
class Waiters {
  private readonly first = new Map<Holder, number>()
  private readonly behind = new Map<Holder, number>()

  get size(): number {
    return this.first.size + this.behind.size
  }

  add(holder: Holder, now: number): void {
    this.of(holder).set(holder, now)
  }

  delete(holder: Holder): boolean {
    return this.of(holder).delete(holder)
  }

  *inTurn(): Generator<Holder> {
    yield* this.first.keys()
    yield* this.behind.keys()
  }

  /** Who has waited since then or longer. */
  *since(latest: number): Generator<Holder> {
    for (const waiting of [this.first, this.behind]) {
      for (const [holder, since] of waiting) {
        if (since > latest) break
        yield holder
      }
    }
  }

  private of(holder: Holder): Map<Holder, number> {
    return holder.yields ? this.behind : this.first
  }
}

class FifoPool implements Pool {
  readonly options: PoolOptions
  readonly now: () => number
  readonly max: number
  readonly depthMax: number
  readonly all = new Set<Lane>()
  readonly abandoned = new Map<Holder, Abandoned>()
  readonly waiters = new Waiters()
  /** How many of them want a connection alone. */
  waitingAlone = 0
  idle: Array<Lane> = []
  opening = 0
  lastRefusal: { readonly error: SqlError; readonly until: number } | undefined
  closed = false

  constructor(options: PoolOptions) {
    this.options = options
    this.now = options.now
    this.max = Math.min(options.max, options.driver.connectionsMax)
    this.depthMax = options.driver.depthMax
  }

  readonly acquire = (holder: Holder): void => {
    if (this.closed) return holder.refused(refused("The database is closed"))
    const lane =
      (holder.shares ? this.joinable(Math.min(depthWanted, this.depthMax)) : undefined) ??
      this.takeIdle() ??
      (holder.shares ? this.joinable(this.depthMax) : undefined)
    if (lane !== undefined) return lane.join(holder)
    const refusal = this.all.size === 0 && this.opening === 0 ? this.refusal() : undefined
    if (refusal !== undefined) return holder.refused(refusal)
    if (this.waiters.size >= (this.options.waitersMax ?? waitersMax))
      return holder.refused(refused(`${this.waiters.size} callers wait for a database connection already`))
    this.waiters.add(holder, this.now())
    if (!holder.shares) this.waitingAlone++
    this.openForWaiters()
    this.drainForWaiters()
  }

  readonly withdraw = (holder: Holder): boolean => {
    if (!this.waiters.delete(holder)) return false
    if (!holder.shares) this.waitingAlone--
    return true
  }

  readonly release = (lane: Lane, holder: Holder): void => {
    if (this.abandoned.size > 0) this.abandoned.delete(holder)
    lane.leave(holder)
    if (!this.all.has(lane)) {
      if (lane.isRetired && lane.holders.length === 0) lane.connection.close()
      return
    }
    if (this.closed || !lane.connection.isOpen()) return this.remove(lane)
    if (lane.holders.length === 0) this.give(lane)
    else if (this.waiters.size > 0) this.fill(lane)
  }

  readonly abandon = (lane: Lane, holder: Holder, cancel: () => void): void => {
    this.abandoned.set(holder, { lane, cancel, since: this.now() })
    // A shared one is quick and has most likely ended by the next sweep: no need to disturb those behind it.
    if (lane.isShared) lane.isDraining = true
    else cancel()
  }

  readonly discard = (lane: Lane, holder: Holder): void => {
    this.abandoned.delete(holder)
    lane.leave(holder)
    if (this.all.has(lane)) this.remove(lane)
    else if (lane.holders.length === 0) lane.connection.close()
  }

  readonly sweep = (): void => {
    const now = this.now()
    for (const holder of this.waiters.since(now - acquireMillisMax)) {
      this.withdraw(holder)
      holder.refused(refused(`No database connection was free within ${acquireMillisMax} ms`))
    }
    for (const { reserved } of this.all) reserved?.sweep(now)
    for (const [holder, entry] of this.abandoned) this.sweepAbandoned(holder, entry, now)
    for (const lane of this.idle) {
      const spare = this.all.size > this.options.min && now - lane.idleSince >= idleMillisMax
      if (spare || !lane.connection.isOpen()) this.remove(lane)
    }
    this.openForWaiters()
    const wanted = Math.min(this.options.min, this.max)
    if (this.all.size + this.opening < wanted && this.refusal() === undefined) this.open()
  }

  sweepAbandoned(holder: Holder, { cancel, lane, since }: Abandoned, now: number): void {
    if (now - since >= cancelMillisMax) {
      this.abandoned.delete(holder)
      if (this.all.has(lane)) this.remove(lane)
      lane.connection.close()
    } else if (lane.holders[0] === holder) {
      lane.cancels++
      cancel()
    }
  }

  readonly figures = () => ({
    max: this.max,
    open: this.all.size,
    inUse: this.all.size - this.idle.length,
    waiting: this.waiters.size
  })

  readonly close = (): void => {
    this.closed = true
    this.failWaiters(refused("The database is closed"))
    this.idle = []
    for (const { connection } of this.all) connection.close()
    this.all.clear()
  }

  takeIdle(): Lane | undefined {
    // The last used first: the others grow old and are closed.
    for (let lane = this.idle.pop(); lane !== undefined; lane = this.idle.pop()) {
      if (lane.connection.isOpen()) return lane
      this.remove(lane)
    }
    return undefined
  }

  /** The first with room, so that those behind it run empty. */
  joinable(depth: number): Lane | undefined {
    for (const lane of this.all) if (lane.joinable(depth)) return lane
    return undefined
  }

  /** To those who wait, as far as there is room on it. */
  give(lane: Lane): void {
    lane.emptied(this.now())
    if (this.waiters.size === 0) this.idle.push(lane)
    else this.fill(lane)
  }

  fill(lane: Lane): void {
    for (const holder of this.waiters.inTurn()) {
      const fits = lane.holders.length === 0 || (holder.shares && lane.joinable(this.depthMax))
      if (!fits) break
      this.withdraw(holder)
      lane.join(holder)
    }
    this.drainForWaiters()
  }

  /** As many shared connections run empty as there are callers who want one alone, so that these are not passed over. */
  drainForWaiters(): void {
    if (this.waitingAlone === 0) return
    let draining = 0
    for (const { isDraining } of this.all) if (isDraining) draining++
    for (const lane of this.all) {
      if (draining >= this.waitingAlone) return
      if (!lane.isShared || lane.isDraining) continue
      lane.isDraining = true
      draining++
    }
  }

  /** Out of the pool; closed when nobody uses it any more, or when it is broken. */
  remove(lane: Lane): void {
    this.all.delete(lane)
    this.idle = this.idle.filter((other) => other !== lane)
    lane.isRetired = true
    if (lane.holders.length === 0 || !lane.connection.isOpen()) lane.connection.close()
    this.openForWaiters()
  }

  openForWaiters(): void {
    if (this.closed || this.refusal() !== undefined) return
    while (this.opening < this.waiters.size && this.all.size + this.opening < this.max) this.open()
  }

  /** Why no connection can be made at the moment. */
  refusal(): SqlError | undefined {
    return this.lastRefusal !== undefined && this.now() < this.lastRefusal.until ? this.lastRefusal.error : undefined
  }

  open(): void {
    this.opening++
    this.options.driver.connect((outcome) => {
      this.opening--
      if (Either.isLeft(outcome)) {
        this.lastRefusal = { error: outcome.left, until: this.now() + reconnectMillis }
        // Others may still be served by the connections that there are.
        if (this.all.size === 0 && this.opening === 0) this.failWaiters(outcome.left)
        return
      }
      if (this.closed) return outcome.right.close()
      const lane = new Lane(outcome.right)
      this.all.add(lane)
      this.give(lane)
    })
  }

  failWaiters(error: SqlError): void {
    // Whoever is refused may come again at once.
    const waiting = [...this.waiters.inTurn()]
    for (const holder of waiting) {
      this.withdraw(holder)
      holder.refused(error)
    }
  }
}

export const make = (options: PoolOptions): Pool => new FifoPool(options)
