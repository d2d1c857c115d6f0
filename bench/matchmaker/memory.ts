/**
 * `bun bench/matchmaker.ts memory`: bytes of one waiting ticket, its strings included, among 100,000; in a process of its
 * own. `bytes` lives on the heap and in its arrays; `residentBytes` is what the process grew by, garbage included.
 */
import { heapStats } from "bun:jsc"
import { Matchmaker } from "../../src/queuing/Matchmaker.ts"
import { crowd } from "./people.ts"

const count = 100_000
const used = () => {
  Bun.gc(true)
  return { heap: heapStats().heapSize, resident: process.memoryUsage.rss() }
}

const matchmaker = new Matchmaker({ capacity: count, widenAfterMillis: [3_000, 8_000, 15_000] })
const before = used()
// In parts, so that what is not kept can go; the strings of a ticket are its own, as those of a row are.
for (let from = 0; from < count; from += 1_000) {
  const people = crowd({ count: 1_000, from, interests: 65_000, each: 5, spread: "even", seed: from + 1 })
  for (const one of JSON.parse(JSON.stringify(people)) as typeof people) matchmaker.add(one)
  matchmaker.take(count)
}
const after = used()
console.log(
  JSON.stringify({
    bytes: (after.heap - before.heap) / matchmaker.size,
    residentBytes: (after.resident - before.resident) / matchmaker.size
  })
)
