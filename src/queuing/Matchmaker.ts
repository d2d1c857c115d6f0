import { none } from "./Buckets.ts"
import type { Sum } from "./Digest.ts"
import * as Explanation from "./Explanation.ts"
import * as Levels from "./Levels.ts"
import { type Entrant, held, noRegion, Pool, waiting } from "./Pool.ts"
import { Search } from "./Search.ts"

/** Someone the entrant must not be matched with until that time; Infinity for a block. */
export interface Avoided {
  readonly userId: string
  readonly until: number
}

/**
 * Two tickets that suit each other, held out of the index until `remove` or `giveBack` says what became of each.
 * `first` is the ticket whose arrival or widening found the other. `score` is what they have in common, 0 to 12.
 */
export interface Proposal {
  readonly first: string
  readonly second: string
  /** Whose tickets they are, in that order. */
  readonly users: readonly [string, string]
  readonly level: Levels.Level
  readonly score: number
  readonly sharedInterests: ReadonlyArray<string>
}

export interface Options {
  /** Tickets at most. */
  readonly capacity: number
  /** Waiting time in milliseconds after which a ticket reaches level 1, 2 and 3. */
  readonly widenAfterMillis: readonly [number, number, number]
}

/**
 * The index of waiting tickets: finds a partner the moment a ticket arrives or widens, in time that depends on who
 * suits it and not on how many wait. Deterministic: the same calls give the same proposals. It decides nothing: what it
 * proposes becomes a match when the database has accepted it.
 *
 * Whoever finds no partner waits, so no two who wait suit each other, and the lists that a newcomer looks through are
 * short. Those who may not meet are skipped and never end a search.
 */
export class Matchmaker {
  private readonly options: Options
  private readonly pool = new Pool()
  private readonly finder: Search
  private now = 0
  private proposals: Array<Proposal> = []
  /** Tickets that another process looks after: here only `sweep` looks for their partners. */
  private readonly foreign = new Set<number>()
  /** Those of them that have arrived or widened since the last sweep. */
  private readonly unsearched = new Set<number>()

  constructor(options: Options) {
    this.options = options
    this.finder = new Search(this.pool, Levels.waitingPoints(options.widenAfterMillis[2]))
  }

  /** Tickets here: waiting, or held by a proposal. */
  get size(): number {
    return this.pool.size
  }

  get isFull(): boolean {
    return this.pool.size >= this.options.capacity
  }

  has(ticketId: string): boolean {
    return this.pool.byId.has(ticketId)
  }

  /** The ticket of that user, if one is here. */
  ticketOf(userId: string): string | undefined {
    const slot = this.pool.byUser.get(userId)
    return slot === undefined ? undefined : this.pool.ids[slot]
  }

  /**
   * Adds a ticket at the index's time and looks for its partner. False when the index is full. A ticket that is here
   * already is left as it is; an older one of the same user goes. A `foreign` ticket is one that another process looks
   * after, so that the two do not claim the same pairs at the same moment: others find it, and `sweep` finds it a
   * partner if that process has not.
   */
  add(entrant: Entrant, avoid: Iterable<Avoided> = [], foreign = false): boolean {
    const { pool } = this
    if (pool.byId.has(entrant.id)) return true
    const earlier = pool.byUser.get(entrant.userId)
    if (earlier !== undefined && pool.state[earlier] === waiting) this.forget(earlier)
    if (this.isFull) return false
    const slot = pool.insert(entrant, this.levelOf(this.now - entrant.createdAt))
    for (const { userId, until } of avoid) {
      const other = pool.byUser.get(userId)
      if (other !== undefined && other !== slot) pool.avoidance.add(slot, other, until)
    }
    if (foreign) this.foreign.add(slot)
    this.seek(slot)
    return true
  }

  /** Forgets a ticket that nothing holds. False when there is none, or a proposal holds it: then the claim decides. */
  withdraw(ticketId: string): boolean {
    const slot = this.pool.byId.get(ticketId)
    if (slot === undefined || this.pool.state[slot] !== waiting) return false
    this.forget(slot)
    return true
  }

  /** Forgets a ticket, held or not: it is waiting no more. */
  remove(ticketId: string): void {
    const slot = this.pool.byId.get(ticketId)
    if (slot !== undefined) this.forget(slot)
  }

  /** Returns a held ticket to its place, its age kept, and looks for another partner. */
  giveBack(ticketId: string): void {
    const slot = this.pool.byId.get(ticketId)
    if (slot === undefined || this.pool.state[slot] !== held) return
    if (this.pool.byUser.get(this.pool.users[slot]!) !== slot) return this.forget(slot)
    this.pool.giveBack(slot)
    this.search(slot)
  }

  /** Keeps two users apart until then, where both have a ticket here. */
  avoid(userA: string, userB: string, until: number): void {
    const a = this.pool.byUser.get(userA)
    const b = this.pool.byUser.get(userB)
    if (a !== undefined && b !== undefined && a !== b) this.pool.avoidance.add(a, b, until)
  }

  /** Lets two users meet again, as far as the index is concerned: the claim still asks the database. */
  reconcile(userA: string, userB: string): void {
    const a = this.pool.byUser.get(userA)
    const b = this.pool.byUser.get(userB)
    if (a === undefined || b === undefined || !this.pool.avoidance.lift(a, b)) return
    if (this.pool.state[a] === waiting) this.search(a)
  }

  /**
   * Moves the index's time on (it never goes back) and widens what is due, in the order in which it became due, at
   * most `max` tickets. False when more are due: call again.
   */
  advance(now: number, max = Number.POSITIVE_INFINITY): boolean {
    for (let done = 0; ; done++) {
      const slot = this.nextToWiden()
      const due = slot === none ? Number.POSITIVE_INFINITY : this.dueAt(slot)
      if (due > now) break
      if (done === max) return false
      this.now = Math.max(this.now, due)
      this.pool.widen(slot)
      if (this.pool.state[slot] === waiting) this.seek(slot)
    }
    this.now = Math.max(this.now, now)
    return true
  }

  /** When the next ticket widens, in milliseconds of the Clock; undefined when none will. */
  get nextDueAt(): number | undefined {
    const slot = this.nextToWiden()
    return slot === none ? undefined : this.dueAt(slot)
  }

  /** Looks for partners of foreign tickets that still wait, and of those who may meet again by now. */
  sweep(): void {
    const again = [...this.unsearched, ...this.pool.avoidance.expire(this.now)]
    this.unsearched.clear()
    for (const slot of again) if (this.pool.state[slot] === waiting) this.search(slot)
  }

  /** Takes the oldest proposals, at most `max`. */
  take(max: number): ReadonlyArray<Proposal> {
    return this.proposals.splice(0, max)
  }

  get proposed(): number {
    return this.proposals.length
  }

  /** Every ticket here: its id, when it was made, and whether a proposal holds it. */
  *tickets(): Generator<{ readonly id: string; readonly createdAt: number; readonly held: boolean }> {
    for (const [id, slot] of this.pool.byId)
      yield { id, createdAt: this.pool.createdAt[slot]!, held: this.pool.state[slot] === held }
  }

  /** The groups of tickets in which the index and the database differ. */
  differing(database: ReadonlyMap<number, Sum>): ReadonlyArray<number> {
    return this.pool.digest.differing(database)
  }

  /** Why a ticket still waits. Looks at every other ticket: for people who ask, not for every request. */
  explain(ticketId: string): Explanation.Explanation | undefined {
    const slot = this.pool.byId.get(ticketId)
    return slot === undefined ? undefined : Explanation.explain(this.pool, slot, this.now, this.dueAt(slot))
  }

  private forget(slot: number): void {
    this.foreign.delete(slot)
    this.unsearched.delete(slot)
    this.pool.delete(slot)
  }

  private levelOf(waitedMillis: number): Levels.Level {
    const [first, second, third] = this.options.widenAfterMillis
    return waitedMillis >= third ? 3 : waitedMillis >= second ? 2 : waitedMillis >= first ? 1 : 0
  }

  private dueAt(slot: number): number {
    const after = this.options.widenAfterMillis[this.pool.level[slot]!]
    return after === undefined ? Number.POSITIVE_INFINITY : this.pool.createdAt[slot]! + after
  }

  private nextToWiden(): number {
    const { pool } = this
    let next = none
    for (let level = 0; level < 3; level++) {
      const slot = pool.oldest(level)
      if (slot === none) continue
      const difference = next === none ? -1 : this.dueAt(slot) - this.dueAt(next)
      if (difference < 0 || (difference === 0 && pool.before(slot, next))) next = slot
    }
    return next
  }

  private seek(slot: number): void {
    if (this.foreign.has(slot)) this.unsearched.add(slot)
    else this.search(slot)
  }

  private search(slot: number): void {
    const partner = this.finder.partnerOf(slot, this.now)
    if (partner !== none) this.propose(slot, partner)
  }

  private propose(slot: number, partner: number): void {
    const { pool } = this
    const sharedInterests: Array<string> = []
    const score = this.finder.affinity(partner)
    const theirs: Array<number> = []
    pool.eachInterest(partner, (interest) => theirs.push(interest))
    pool.eachInterest(slot, (interest) => {
      if (theirs.includes(interest)) sharedInterests.push(pool.interests.name(interest))
    })
    const region = pool.region[slot]!
    const other = pool.region[partner]!
    const level = Levels.required(
      sharedInterests.length > 0,
      region === other || region === noRegion || other === noRegion
    )
    for (const one of [slot, partner]) {
      this.unsearched.delete(one)
      pool.hold(one)
    }
    this.proposals.push({
      first: pool.ids[slot]!,
      second: pool.ids[partner]!,
      users: [pool.users[slot]!, pool.users[partner]!],
      level,
      score,
      sharedInterests
    })
  }
}
