import type { Entrant } from "../../src/queuing/Pool.ts"

/** The same people each time: a linear congruential generator is enough for a bench. */
export const chance = (seed: number) => {
  let state = seed >>> 0
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32
}

const languages = ["en", "es", "pt", "de", "fr", "ja", "ar", "hi"]
const regions = ["eu", "us", "br", "in", "jp", "af"]

const idOf = (n: number): string => `00000000-0000-7000-8000-${n.toString(16).padStart(12, "0")}`

/** Interests by Zipf's law: the tenth most popular is a tenth as frequent as the first. */
const zipf = (count: number, random: () => number) => {
  const sums: Array<number> = []
  for (let n = 1; n <= count; n++) sums.push((sums.at(-1) ?? 0) + 1 / n)
  return () => {
    const at = random() * sums.at(-1)!
    return sums.findIndex((sum) => sum >= at)
  }
}

export interface Crowd {
  readonly count: number
  readonly from?: number
  readonly interests: number
  readonly each: number
  /** Few share an interest when it is even, many when it follows Zipf. */
  readonly spread: "even" | "zipf"
  readonly seed?: number
}

/** People of 8 languages and 6 regions, with `each` of `interests` interests, who come one a millisecond. */
export const crowd = ({ count, from = 0, interests, each, spread, seed = 7 }: Crowd): ReadonlyArray<Entrant> => {
  const random = chance(seed)
  const pick = spread === "zipf" ? zipf(interests, random) : () => Math.floor(random() * interests)
  const of = <A>(all: ReadonlyArray<A>): A => all[Math.floor(random() * all.length)]!
  return Array.from({ length: count }, (_, n) => ({
    id: idOf(from + n),
    userId: idOf(1_000_000_000 + from + n),
    interests: [...new Set(Array.from({ length: each }, () => `interest-${pick()}`))],
    languages: [of(languages)],
    region: of(regions),
    createdAt: 0
  }))
}
