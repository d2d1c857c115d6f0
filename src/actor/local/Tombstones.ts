/** Failed actors of one type that are remembered; beyond it the one remembered first is forgotten. */
export const tombstonesMax = 10_000

/** What remains of an actor that failed: until when it refuses messages, and its failures in the window. */
export interface Tombstone {
  readonly untilMillis: number
  readonly failures: Array<number>
}

/**
 * The failures of actors that are not in memory. Without it, an actor that stopped after too many failures would be
 * activated by the next message with a clean record, and would fail for ever.
 */
export class Tombstones {
  private readonly byId = new Map<string, Tombstone>()

  get(id: string): Tombstone | undefined {
    return this.byId.get(id)
  }

  set(id: string, tombstone: Tombstone): void {
    this.byId.delete(id)
    this.byId.set(id, tombstone)
    if (this.byId.size <= tombstonesMax) return
    const [oldest] = this.byId.keys()
    if (oldest !== undefined) this.byId.delete(oldest)
  }

  delete(id: string): void {
    this.byId.delete(id)
  }
}
