import type { SqlError } from "@effect/sql/SqlError"
import type * as Either from "effect/Either"

/** One statement. `params` hold what `Parameters.encode` returns. */
export interface DriverStatement {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  /** Rows as arrays of values in column order, and not as objects. */
  readonly arrays: boolean
  /** Whether the server may keep the plan under a name for the next time. */
  readonly prepare: boolean
}

/** What came back. `affected` counts the rows that the statement returned or changed. */
export interface DriverResult {
  readonly rows: ReadonlyArray<unknown>
  readonly affected: number
}

export type Outcome<A> = Either.Either<A, SqlError>

/**
 * One connection. Callbacks, because a statement then costs its caller one suspension and an interruption can leave at
 * once while the connection is still busy.
 */
export interface DriverConnection {
  /**
   * Runs one statement and calls `done` once. The returned function asks the server to cancel what the connection is
   * running and may be called again: a server that has not begun yet ignores it. `done` still comes, and not before the
   * server has dealt with every cancel, which could hit the next statement otherwise.
   */
  readonly run: (statement: DriverStatement, done: (outcome: Outcome<DriverResult>) => void) => () => void
  readonly isOpen: () => boolean
  /** Ends the connection at once, whatever it does. */
  readonly close: () => void
}

/** What is told of a channel that is listened to. */
export interface Ear {
  /** From here on nothing is missed. */
  readonly began: () => void
  readonly notified: (payload: string) => void
  /** Once, and the last: it could not begin, or its connection is gone. */
  readonly lost: (error: SqlError) => void
}

/** How to open connections with one library. */
export interface Driver {
  readonly name: "pg" | "bun" | "pglite"
  /** Connections it can hold at most, when there is such a limit. */
  readonly connectionsMax: number
  /** Statements that may be sent on one connection before the first has been answered. They are answered in turn. */
  readonly depthMax: number
  readonly connect: (done: (outcome: Outcome<DriverConnection>) => void) => void
  /** Listens to a channel on a connection of its own, which the returned function ends. */
  readonly listen: (channel: string, ear: Ear) => () => void
}
