/**
 * What was found for tokens, in this process, for one time to live: so the oldest are always the first to go, and no
 * read has to move anything. Read with every request.
 */
export class Near<A> {
  private readonly entries = new Map<string, { readonly value: A; readonly until: number }>()
  private readonly entriesMax: number
  /** The first to go is not over before: nothing to look for until then. */
  private nextOver = Infinity

  /** At most so many; beyond that the oldest go. 0: nothing is kept. */
  constructor(entriesMax: number) {
    this.entriesMax = entriesMax
  }

  get(token: string, now: number): A | undefined {
    const entry = this.entries.get(token)
    return entry !== undefined && entry.until > now ? entry.value : undefined
  }

  /** Those that are over go with it: a token does not lie here long after its time. */
  set(token: string, value: A, until: number, now: number): void {
    if (this.entriesMax === 0) return
    this.entries.delete(token)
    this.entries.set(token, { value, until })
    this.nextOver = Math.min(this.nextOver, until)
    if (this.entries.size <= this.entriesMax && this.nextOver > now) return
    for (const [oldest, entry] of this.entries) {
      if (entry.until > now && this.entries.size <= this.entriesMax) {
        this.nextOver = entry.until
        return
      }
      this.entries.delete(oldest)
    }
    this.nextOver = Infinity
  }

  clear(): void {
    this.entries.clear()
    this.nextOver = Infinity
  }
}
