import { Matchmaker } from "../../src/queuing/Matchmaker.ts"
import type { Entrant } from "../../src/queuing/Pool.ts"
import { crowd } from "./people.ts"

const widenAfterMillis = [3_000, 8_000, 15_000] as const

const index = () => {
  const made = new Matchmaker({ capacity: 1_000_000, widenAfterMillis })
  made.advance(0)
  return made
}

const take = (matchmaker: Matchmaker): number => {
  let taken = 0
  for (const { first, second } of matchmaker.take(Number.POSITIVE_INFINITY)) {
    matchmaker.remove(first)
    matchmaker.remove(second)
    taken++
  }
  return taken
}

/** Microseconds of each arrival while so many wait of whom hardly anyone suits them. */
export const arrivals = (waiting: number, interests = 10_000_000) => {
  const matchmaker = index()
  for (const one of crowd({ count: waiting, interests, each: 5, spread: "even" })) matchmaker.add(one)
  take(matchmaker)
  const before = matchmaker.size
  const micros: Array<number> = []
  // Half of them have a partner: someone like a person who waits.
  const strangers = crowd({ count: 20_000, from: 2_000_000, interests, each: 5, spread: "even", seed: 11 })
  const likes = crowd({ count: waiting, interests, each: 5, spread: "even" })
  let matches = 0
  for (const [n, stranger] of strangers.entries()) {
    const like = likes[(n * 7_919) % waiting]!
    const one: Entrant = n % 2 === 0 ? stranger : { ...like, id: stranger.id, userId: stranger.userId }
    const startedAt = performance.now()
    matchmaker.add(one)
    micros.push((performance.now() - startedAt) * 1_000)
    matches += take(matchmaker)
  }
  return { micros, matches, before }
}

/** So many come at once; then those left over widen. */
export const burst = (count: number) => {
  const people = crowd({ count, interests: 500, each: 5, spread: "zipf" })
  const matchmaker = index()
  const startedAt = performance.now()
  let matches = 0
  for (const [n, one] of people.entries()) {
    matchmaker.add(one)
    if (n % 64 === 63) matches += take(matchmaker)
  }
  matches += take(matchmaker)
  const drainedAt = performance.now()
  const left = matchmaker.size
  matchmaker.advance(20_000)
  matches += take(matchmaker)
  return {
    seconds: (drainedAt - startedAt) / 1_000,
    widenMillis: performance.now() - drainedAt,
    left,
    unmatched: count - matches * 2
  }
}

/** Microseconds of one arrival that looks at everyone who waits, by the same rules: what the index saves. */
export const scan = (waiting: number): ReadonlyArray<number> => {
  const all = crowd({ count: waiting, interests: 10_000_000, each: 5, spread: "even" })
  const sets = all.map(({ interests }) => new Set(interests))
  return crowd({ count: 200, from: 3_000_000, interests: 10_000_000, each: 5, spread: "even", seed: 13 }).map((one) => {
    const startedAt = performance.now()
    let best = -1
    for (const [n, other] of all.entries()) {
      if (one.languages[0] !== other.languages[0] || one.region !== other.region) continue
      const shared = one.interests.filter((interest) => sets[n]!.has(interest)).length
      if (shared > best && shared > 0) best = shared
    }
    return (performance.now() - startedAt) * 1_000
  })
}
