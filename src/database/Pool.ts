import { SqlError } from "@effect/sql/SqlError"
import * as Either from "effect/Either"
import type { Driver, DriverConnection, Outcome } from "./Driver.ts"

/** Callers that may wait for a connection; one more is refused at once. */
export const waitersMax = 1_000

/** How long a caller waits for a connection before it is refused. */
export const acquireMillisMax = 5_000

/** A connection that nobody used for this long is closed when there are more than the minimum. */
export const idleMillisMax = 60_000

/** How long a cancelled statement may keep its connection before that is closed. */
export const cancelMillisMax = 5_000

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

interface Waiter {
  readonly grant: (outcome: Outcome<DriverConnection>) => void
  readonly since: number
}

/** Connections of one server, handed out one caller each, first come first served. */
export interface Pool {
  /**
   * Calls `grant` once, maybe before it returns. The returned function withdraws a caller that still waits; it says
   * whether there was one to withdraw.
   */
  readonly acquire: (grant: (outcome: Outcome<DriverConnection>) => void) => () => boolean
  /** Gives a connection back; a closed one is replaced when somebody needs it. */
  readonly release: (connection: DriverConnection) => void
  /**
   * Its caller left in the middle of a statement, which is cancelled until it ends; then comes `release`. One that does
   * not end is closed.
   */
  readonly abandon: (connection: DriverConnection, cancel: () => void) => void
  readonly discard: (connection: DriverConnection) => void
  /** Refuses those who waited too long and closes what is idle, broken or stuck. Called every `sweepMillis`. */
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

class FifoPool implements Pool {
  readonly options: PoolOptions
  readonly max: number
  readonly all = new Set<DriverConnection>()
  readonly abandoned = new Map<DriverConnection, { readonly cancel: () => void; readonly since: number }>()
  readonly waiters = new Set<Waiter>()
  idle: Array<{ readonly connection: DriverConnection; readonly since: number }> = []
  opening = 0
  closed = false

  constructor(options: PoolOptions) {
    this.options = options
    this.max = Math.min(options.max, options.driver.connectionsMax)
  }

  readonly acquire = (grant: Waiter["grant"]): (() => boolean) => {
    if (this.closed) {
      grant(Either.left(refused("The database is closed")))
      return () => false
    }
    const idle = this.takeIdle()
    if (idle !== undefined) {
      grant(Either.right(idle))
      return () => false
    }
    if (this.waiters.size >= (this.options.waitersMax ?? waitersMax)) {
      grant(Either.left(refused(`${this.waiters.size} callers wait for a database connection already`)))
      return () => false
    }
    const waiter: Waiter = { grant, since: this.options.now() }
    this.waiters.add(waiter)
    this.openForWaiters()
    return () => this.waiters.delete(waiter)
  }

  readonly release = (connection: DriverConnection): void => {
    this.abandoned.delete(connection)
    if (!this.all.has(connection)) return
    if (this.closed || !connection.isOpen()) return this.discard(connection)
    this.give(connection)
  }

  readonly abandon = (connection: DriverConnection, cancel: () => void): void => {
    this.abandoned.set(connection, { cancel, since: this.options.now() })
    cancel()
  }

  readonly discard = (connection: DriverConnection): void => {
    this.abandoned.delete(connection)
    if (!this.all.delete(connection)) return
    connection.close()
    this.openForWaiters()
  }

  readonly sweep = (): void => {
    const now = this.options.now()
    for (const waiter of this.waiters) {
      if (now - waiter.since < acquireMillisMax) break
      this.waiters.delete(waiter)
      waiter.grant(Either.left(refused(`No database connection was free within ${acquireMillisMax} ms`)))
    }
    for (const [connection, { cancel, since }] of this.abandoned) {
      if (now - since >= cancelMillisMax) this.discard(connection)
      else cancel()
    }
    for (const entry of this.idle) {
      const spare = this.all.size > this.options.min && now - entry.since >= idleMillisMax
      if (!spare && entry.connection.isOpen()) continue
      this.idle = this.idle.filter((other) => other !== entry)
      this.discard(entry.connection)
    }
    if (this.all.size + this.opening < Math.min(this.options.min, this.max)) this.open()
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
    for (const connection of this.all) connection.close()
    this.all.clear()
  }

  takeIdle(): DriverConnection | undefined {
    // The last used first: the others grow old and are closed.
    for (let entry = this.idle.pop(); entry !== undefined; entry = this.idle.pop()) {
      if (entry.connection.isOpen()) return entry.connection
      this.discard(entry.connection)
    }
    return undefined
  }

  give(connection: DriverConnection): void {
    for (const waiter of this.waiters) {
      this.waiters.delete(waiter)
      return waiter.grant(Either.right(connection))
    }
    this.idle.push({ connection, since: this.options.now() })
  }

  openForWaiters(): void {
    while (!this.closed && this.opening < this.waiters.size && this.all.size + this.opening < this.max) this.open()
  }

  open(): void {
    this.opening++
    this.options.driver.connect((outcome) => {
      this.opening--
      if (Either.isLeft(outcome)) {
        // Others may still be served by the connections that there are.
        if (this.all.size === 0 && this.opening === 0) this.failWaiters(outcome.left)
        return
      }
      if (this.closed) return outcome.right.close()
      this.all.add(outcome.right)
      this.give(outcome.right)
    })
  }

  failWaiters(error: SqlError): void {
    const waiting = [...this.waiters]
    this.waiters.clear()
    for (const waiter of waiting) waiter.grant(Either.left(error))
  }
}

export const make = (options: PoolOptions): Pool => new FifoPool(options)
