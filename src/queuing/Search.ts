import { none } from "./Buckets.ts"
import * as Levels from "./Levels.ts"
import { anyRegionKind, interestKind, languageKind, noRegion, regionKind } from "./Pool.ts"
import type { Pool } from "./Pool.ts"

/** Acceptable candidates of one list that are ranked, the oldest first. */
export const rankedPerListMax = 64

/**
 * Finds the best partner of one ticket at a time in the lists that it stands in. What a search needs to remember is in
 * arrays that the next search uses again: a number that rises with each search says which of their values are new.
 */
export class Search {
  private readonly pool: Pool
  private readonly pointsPerMilli: number
  private now = 0
  private searcher = none
  private stamp = 0
  /** By interest: how rare it is, and the stamp of the last searcher who has it. */
  private rarity = new Float64Array(64)
  private marked = new Uint32Array(64)
  /** By slot: the stamp of the last search that has looked at it. */
  private seen = new Uint32Array(64)
  /** What the best possible partner would have in common with the searcher. */
  private most = 0
  private best = none
  private bestRank = 0

  /** A millisecond of waiting adds `pointsPerMilli` to a candidate's rank. */
  constructor(pool: Pool, pointsPerMilli: number) {
    this.pool = pool
    this.pointsPerMilli = pointsPerMilli
  }

  /** The acceptable waiting slot of the best rank, then age, then id; `none` when there is none. */
  partnerOf(slot: number, now: number): number {
    this.now = now
    this.prepare(slot)
    const { pool } = this
    const { buckets } = pool
    const region = pool.region[slot]!
    const level = pool.level[slot]!
    for (let entry = pool.first[slot]!; entry !== none; entry = buckets.sibling[entry]!) {
      const bucket = buckets.bucket[entry]!
      const kind = pool.kindOf(bucket)
      if (kind === interestKind) this.scan(bucket)
      else if (kind === languageKind && level >= 3) this.scan(bucket)
      else if (kind === anyRegionKind && level >= 2 && region === noRegion) this.scan(bucket)
      else if (kind === regionKind && level >= 2 && region !== noRegion) {
        this.scan(bucket)
        this.scan(pool.regionless(pool.languageOf(bucket)))
      }
    }
    return this.best
  }

  /** What the searcher and the candidate have in common, 0 to 12; negative when they are not acceptable. */
  affinity(candidate: number): number {
    const { pool, searcher } = this
    if (pool.users[candidate] === pool.users[searcher]) return -1
    if (pool.avoidance.forbids(searcher, candidate, this.now)) return -1
    const weight = this.sharedWeight(candidate)
    const region = pool.region[searcher]!
    const other = pool.region[candidate]!
    const meet = region === other || region === noRegion || other === noRegion
    const reached = Math.min(pool.level[searcher]!, pool.level[candidate]!)
    if (!Levels.acceptable(weight > 0, meet, reached)) return -1
    return Levels.overlap(weight) + (region === other && region !== noRegion ? Levels.regionPoints : 0)
  }

  private prepare(slot: number): void {
    const { pool } = this
    this.searcher = slot
    this.best = none
    if (++this.stamp === 2 ** 32) {
      this.stamp = 1
      this.marked.fill(0)
      this.seen.fill(0)
    }
    if (this.seen.length < pool.bound) this.seen = new Uint32Array(pool.bound * 2)
    if (this.marked.length < pool.interests.bound()) {
      this.marked = new Uint32Array(pool.interests.bound() * 2)
      this.rarity = new Float64Array(pool.interests.bound() * 2)
    }
    let all = 0
    pool.eachInterest(slot, (interest) => {
      this.marked[interest] = this.stamp
      all += this.rarity[interest] = Levels.rarity(pool.interests.count(interest), pool.size)
    })
    this.most = Levels.overlap(all) + (pool.region[slot] === noRegion ? 0 : Levels.regionPoints)
  }

  private scan(bucket: number): void {
    if (bucket === none) return
    const { pool, searcher } = this
    const { buckets } = pool
    let ranked = 0
    for (let entry = buckets.head[bucket]!; entry !== none; entry = buckets.next[entry]!) {
      const candidate = buckets.slot[entry]!
      if (candidate === searcher || this.seen[candidate] === this.stamp) continue
      const seniority = (pool.createdAt[searcher]! - pool.createdAt[candidate]!) * this.pointsPerMilli
      // What follows is younger: when the best possible partner of this age would not do, none that follows will.
      if (this.best !== none && this.bestRank > this.most + seniority) return
      this.seen[candidate] = this.stamp
      const affinity = this.affinity(candidate)
      if (affinity < 0) continue
      const rank = affinity + seniority
      if (this.best === none || rank > this.bestRank || (rank === this.bestRank && pool.before(candidate, this.best))) {
        this.best = candidate
        this.bestRank = rank
      }
      if (++ranked === rankedPerListMax) return
    }
  }

  private sharedWeight(candidate: number): number {
    let weight = 0
    this.pool.eachInterest(candidate, (interest) => {
      if (this.marked[interest] === this.stamp) weight += this.rarity[interest]!
    })
    return weight
  }
}
