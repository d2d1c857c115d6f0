import type { SqlError } from "@effect/sql/SqlError"
import type { DriverConnection } from "./Driver.ts"

/** Who wants a connection: for one statement that may go with others, or alone, for one or for a transaction. */
export interface Holder {
  /** Its statement is quick and waits for no lock, so it may be sent before the one ahead has answered. */
  readonly shares: boolean
  /** It lets those who do not yield go first. */
  readonly yields: boolean
  /** The connection to use. `begins` came before, when nobody is ahead. */
  readonly granted: (lane: Lane) => void
  readonly refused: (error: SqlError) => void
  /** Nobody is ahead on the connection any more. */
  readonly begins: () => void
}

/** One connection and who uses it, in the order in which the server answers. */
export class Lane {
  readonly connection: DriverConnection
  readonly holders: Array<Holder> = []
  /** Its holders came to share it. */
  isShared = false
  /** Nobody may join: somebody waits to have it alone, or it holds what is to be cancelled. */
  isDraining = false
  /** To be closed when the last one has left. */
  isRetired = false
  idleSince = 0
  /** Cancels sent since it was idle: each may have hit the statement behind the one it was meant for. */
  cancels = 0
  /** Who has it for several statements: asked at each sweep to end those that take too long. */
  reserved: { readonly sweep: (now: number) => void } | undefined

  constructor(connection: DriverConnection) {
    this.connection = connection
  }

  joinable(depth: number): boolean {
    return this.isShared && !this.isDraining && this.holders.length < depth && this.connection.isOpen()
  }

  join(holder: Holder): void {
    this.holders.push(holder)
    if (this.holders.length === 1) {
      this.isShared = holder.shares
      holder.begins()
    }
    holder.granted(this)
  }

  leave(holder: Holder): void {
    if (this.holders[0] !== holder) {
      this.holders.splice(this.holders.indexOf(holder), 1)
      return
    }
    this.holders.shift()
    this.holders[0]?.begins()
  }

  emptied(now: number): void {
    this.isShared = false
    this.isDraining = false
    this.cancels = 0
    this.idleSince = now
  }
}
