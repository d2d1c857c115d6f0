import { expect, test } from "bun:test"
import { gainMin, isHarmless, meanMillis, objection, type Outcome } from "../../src/database/optimizer/Trial.ts"

const outcome = (more: Partial<Outcome> = {}): Outcome => ({
  usesIndex: true,
  isServed: false,
  before: { cost: 100, millis: 10 },
  after: { cost: 10, millis: 1 },
  sampleRows: 20_000,
  ...more
})

test("an index is advised when it is used and makes its statement cheaper, and faster where that was run", () => {
  expect(objection(outcome())).toBeUndefined()
  const exactly = { cost: 100 / gainMin, millis: 10 / gainMin }
  expect(objection(outcome({ after: exactly }))).toBeUndefined()
  expect(objection(outcome({ before: { cost: 100, millis: null }, after: { cost: 10, millis: null } }))).toBeUndefined()
})

test("what an index does not do is said", () => {
  expect(objection(outcome({ usesIndex: false }))).toBe("the planner does not use it")
  expect(objection(outcome({ after: { cost: 60, millis: 1 } }))).toBe("it makes the statement 1.7 times cheaper only")
  expect(objection(outcome({ after: { cost: 10, millis: 8 } }))).toBe("it makes the statement 1.3 times faster only")
  expect(objection(outcome({ isServed: true }))).toContain("a partial index serves it already")
})

test("of the runs with one value the fastest counts, for and against an index", () => {
  const before = meanMillis([2, 4].map((millis) => [90, millis, millis]))
  const after = meanMillis([[0.01, 40, 0.01], [0.03]])
  expect([before, after]).toEqual([3, 0.02])
  expect(meanMillis([])).toBeNull()
})

test("a twentieth more is no loss", () => {
  expect([1, 1.05, 1.06, 2].map(isHarmless)).toEqual([true, true, false, false])
})
