import { expect, test } from "bun:test"
import fc from "fast-check"
import { bulk, vital } from "../../src/graphql/Priority.ts"
import { Best, Limit, reserve, samplesMin, turnMillis, windowMillis } from "../../src/request/Limit.ts"

const options = { placesMin: 4, placesMax: 20, delayMillis: 25 }

/** Turns in which everybody loses so much, with more to do than places. */
const turns = (limit: Limit, from: number, count: number, delay: number, full = true): number => {
  let now = from
  for (let turn = 0; turn < count; turn++) {
    if (full) {
      let taken = 0
      while (limit.isFree(1)) {
        limit.take(1)
        taken++
      }
      for (; taken > 0; taken--) limit.give(1)
    }
    for (let sample = 0; sample < samplesMin; sample++) limit.ended(delay)
    now += turnMillis
    limit.turn(now)
  }
  return now
}

test("the limit falls while operations delay each other, down to its floor, and recovers up to its ceiling", () => {
  const limit = new Limit(options, 0)
  const start = limit.places
  let now = turns(limit, 0, 5, 60)
  expect(limit.places).toBeLessThan(start)
  now = turns(limit, now, 50, 60)
  expect(limit.places).toBe(4)
  now = turns(limit, now, 3, 5)
  expect(limit.places).toBe(7)
  turns(limit, now, 50, 5)
  expect(limit.places).toBe(20)
})

test("one pause of the machine leaves the limit as it is", () => {
  const limit = new Limit(options, 0)
  const start = limit.places
  let now = 0
  for (let n = 0; n < 10; n++) {
    now = turns(limit, now, 2, 500, false)
    now = turns(limit, now, 1, 5, false)
  }
  expect(limit.places).toBe(start)
})

test("the limit does not grow while nobody needs it", () => {
  const limit = new Limit(options, 0)
  const start = limit.places
  turns(limit, 0, 50, 0, false)
  expect(limit.places).toBe(start)
})

test("a delay counts from an operation's own best time, which is forgotten slowly", () => {
  const best = new Best()
  expect(best.delayOf(10, 0)).toBe(0)
  expect(best.delayOf(35, 1)).toBe(25)
  expect(best.delayOf(4, 2)).toBe(0)
  expect(best.delayOf(20, windowMillis + 1)).toBe(16)
  // The storage has become slower: it takes some windows until that is normal.
  expect(best.delayOf(20, 2 * windowMillis + 2)).toBe(14)
  for (let window = 3; window < 8; window++) best.delayOf(20, window * (windowMillis + 1))
  expect(best.delayOf(20, 9 * windowMillis)).toBe(0)
})

test("however people come, no more than the ceiling run, bulk has half of them at most, and vital is let in", () => {
  const step = fc.record({ lane: fc.nat({ max: 3 }), comes: fc.boolean(), delay: fc.nat({ max: 200 }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const limit = new Limit(options, 0)
      let now = 0
      for (const { comes, delay, lane } of steps) {
        now += 13
        if (comes && limit.isFree(lane)) {
          limit.take(lane)
          if (lane !== vital) expect(limit.inUse).toBeLessThanOrEqual(limit.places)
          if (lane === bulk) expect(limit.running[bulk]!).toBeLessThanOrEqual(Math.max(1, limit.places >> 1))
        } else if (comes && lane === vital) {
          // Only others of its class can hold it up.
          expect(limit.running[vital]!).toBeGreaterThanOrEqual(reserve)
        } else if (!comes && limit.running[lane]! > 0) {
          limit.give(lane)
          limit.ended(delay)
        }
        limit.turn(now)
        expect(limit.places).toBeWithin(options.placesMin, options.placesMax + 1)
        expect(limit.inUse).toBeLessThanOrEqual(options.placesMax + reserve)
      }
    })
  )
})

test("one operation that waits for something else says no more than a few targets", () => {
  const limit = new Limit(options, 0)
  const start = limit.places
  for (let turn = 1; turn <= 10; turn++) {
    limit.ended(60_000)
    for (let n = 1; n < samplesMin; n++) limit.ended(0)
    limit.turn(turn * turnMillis)
  }
  expect(limit.places).toBe(start)
})

test("too few operations say nothing: their turn goes on", () => {
  const limit = new Limit(options, 0)
  const start = limit.places
  for (let turn = 1; turn <= 3; turn++) {
    for (let n = 1; n < samplesMin; n++) limit.ended(60)
    limit.turn(turn * turnMillis)
  }
  expect(limit.places).toBe(start)
})

test("with one place left bulk may still have it", () => {
  const limit = new Limit({ ...options, placesMin: 1 }, 0)
  turns(limit, 0, 50, 60)
  expect(limit.places).toBe(1)
  expect(limit.isFree(bulk)).toBe(true)
  limit.take(bulk)
  expect(limit.isFree(bulk)).toBe(false)
})

test("a wait is told by how many of the class got a place of late while others found none", () => {
  const limit = new Limit({ ...options, placesMax: 8 }, 0)
  const served = (from: number, count: number, each: number): number => {
    for (let turn = 1; turn <= count; turn++) {
      for (let n = 0; n < each; n++) limit.take(1)
      limit.isFree(1)
      for (let n = 0; n < Math.max(each, samplesMin); n++) limit.ended(0)
      for (let n = 0; n < each; n++) limit.give(1)
      limit.turn(from + turn * turnMillis)
    }
    return from + count * turnMillis
  }
  const later = served(0, 20, 50)
  // Fifty in a turn of 100 ms: two milliseconds each.
  expect(limit.waitMillis(1, 10)).toBeCloseTo(20, 2)
  served(later, 20, 10)
  expect(limit.waitMillis(1, 10)).toBeCloseTo(100, 1)
})

test("how long a wait would be is not told by how few come", () => {
  const limit = new Limit(options, 0)
  expect(limit.waitMillis(1, 100)).toBe(0)
  let now = 0
  for (let turn = 0; turn < 50; turn++) {
    limit.take(1)
    expect(limit.isFree(1)).toBe(true)
    for (let n = 0; n < samplesMin; n++) limit.ended(0)
    limit.give(1)
    limit.turn((now += turnMillis))
  }
  expect(limit.waitMillis(1, 100)).toBe(0)
})
