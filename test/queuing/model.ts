import type { Entrant } from "../../src/queuing/Pool.ts"

/** The rules of matching without an index: every pair is looked at. What the Matchmaker must agree with. */
export interface Waiting extends Entrant {
  level: number
  held: boolean
}

export const widenAfterMillis = [3_000, 8_000, 15_000] as const

const primary = (tag: string) => tag.split("-")[0]!

export const shared = (a: Entrant, b: Entrant): ReadonlyArray<string> =>
  a.interests.filter((interest) => b.interests.includes(interest))

export const speakTogether = (a: Entrant, b: Entrant): boolean =>
  a.languages.some((x) => b.languages.some((y) => primary(x) === primary(y)))

export const regionsMeet = (a: Entrant, b: Entrant): boolean =>
  a.region === null || b.region === null || a.region === b.region

/** The lowest level at which the two may meet; undefined when never. */
export const pairLevel = (a: Entrant, b: Entrant): number | undefined => {
  if (a.userId === b.userId || !speakTogether(a, b)) return undefined
  const interests = shared(a, b).length > 0
  return interests && regionsMeet(a, b) ? 0 : interests ? 1 : regionsMeet(a, b) ? 2 : 3
}

export const levelAt = (ticket: Entrant, now: number): number =>
  widenAfterMillis.filter((after) => now - ticket.createdAt >= after).length

export class Model {
  now = 0
  readonly tickets: Array<Waiting> = []
  readonly apart = new Map<string, number>()
  readonly proposals: Array<readonly [string, string]> = []
  readonly capacity: number

  constructor(capacity: number) {
    this.capacity = capacity
  }

  waiting(): ReadonlyArray<Waiting> {
    return this.tickets.filter((ticket) => !ticket.held)
  }

  find(id: string): Waiting | undefined {
    return this.tickets.find((ticket) => ticket.id === id)
  }

  kept(a: Entrant, b: Entrant): boolean {
    return (this.apart.get([a.id, b.id].sort().join()) ?? Number.NEGATIVE_INFINITY) > this.now
  }

  acceptable(a: Waiting, b: Waiting): boolean {
    const level = pairLevel(a, b)
    return level !== undefined && level <= Math.min(a.level, b.level) && !this.kept(a, b)
  }

  rank(a: Waiting, b: Waiting): number {
    const rarity = (interest: string) =>
      Math.log(1 + this.tickets.length / this.tickets.filter((t) => t.interests.includes(interest)).length) /
      Math.log(1 + this.tickets.length)
    const weight = b.interests.reduce((sum, i) => (a.interests.includes(i) ? sum + rarity(i) : sum), 0)
    const affinity = (8 * weight) / (1 + weight) + (a.region !== null && a.region === b.region ? 4 : 0)
    return affinity + ((a.createdAt - b.createdAt) * 12) / widenAfterMillis[2]
  }

  private search(a: Waiting): void {
    const best = this.waiting()
      .filter((b) => b !== a && this.acceptable(a, b))
      .map((b) => ({ b, rank: this.rank(a, b) }))
      .sort((x, y) => y.rank - x.rank || x.b.createdAt - y.b.createdAt || (x.b.id < y.b.id ? -1 : 1))[0]?.b
    if (best === undefined) return
    a.held = true
    best.held = true
    this.proposals.push([a.id, best.id])
  }

  add(entrant: Entrant, avoid: ReadonlyArray<{ readonly userId: string; readonly until: number }>): boolean {
    if (this.find(entrant.id)) return true
    const earlier = this.tickets.find((ticket) => ticket.userId === entrant.userId && !ticket.held)
    if (earlier) this.remove(earlier.id)
    if (this.tickets.length >= this.capacity) return false
    const ticket = { ...entrant, level: levelAt(entrant, this.now), held: false }
    this.tickets.push(ticket)
    for (const { userId, until } of avoid) this.avoid(entrant.userId, userId, until)
    this.search(ticket)
    return true
  }

  /** A user's newest ticket: an older one that a proposal holds no longer speaks for the user. */
  private of(userId: string): Waiting | undefined {
    return this.tickets.findLast((ticket) => ticket.userId === userId)
  }

  avoid(userA: string, userB: string, until: number): void {
    const a = this.of(userA)
    const b = this.of(userB)
    if (!a || !b || a === b) return
    const key = [a.id, b.id].sort().join()
    this.apart.set(key, Math.max(until, this.apart.get(key) ?? until))
  }

  withdraw(id: string): boolean {
    const ticket = this.find(id)
    if (!ticket || ticket.held) return false
    this.remove(id)
    return true
  }

  remove(id: string): void {
    const at = this.tickets.findIndex((ticket) => ticket.id === id)
    if (at !== -1) this.tickets.splice(at, 1)
  }

  giveBack(id: string): void {
    const ticket = this.find(id)
    if (!ticket?.held) return
    if (this.of(ticket.userId) !== ticket) return this.remove(id)
    ticket.held = false
    this.search(ticket)
  }

  advance(to: number): void {
    for (;;) {
      const next = this.tickets
        .filter((ticket) => ticket.level < 3)
        .map((ticket) => ({ ticket, due: ticket.createdAt + widenAfterMillis[ticket.level]! }))
        .sort(
          (x, y) => x.due - y.due || x.ticket.createdAt - y.ticket.createdAt || (x.ticket.id < y.ticket.id ? -1 : 1)
        )[0]
      if (!next || next.due > to) break
      this.now = Math.max(this.now, next.due)
      next.ticket.level++
      if (!next.ticket.held) this.search(next.ticket)
    }
    this.now = Math.max(this.now, to)
  }

  take(): ReadonlyArray<readonly [string, string]> {
    return this.proposals.splice(0)
  }
}
