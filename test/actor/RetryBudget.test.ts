import { expect, test } from "bun:test"
import { perSecondMin, RetryBudget, share, tokensMax } from "../../src/actor/cluster/RetryBudget.ts"

const spendAll = (budget: RetryBudget) => {
  let spent = 0
  while (budget.spend()) spent++
  return spent
}

test("retries are a share of the calls, and a few a second besides", () => {
  let now = 0
  const budget = new RetryBudget(() => now)
  spendAll(budget)
  for (let call = 0; call < 105; call++) budget.earn()
  expect(spendAll(budget)).toBe(Math.floor(105 * share))
  now += 2_000
  expect(spendAll(budget)).toBe(2 * perSecondMin)
})

test("what was not used is saved up to a bound", () => {
  let now = 0
  const budget = new RetryBudget(() => now)
  now += 3_600_000
  for (let call = 0; call < 100_000; call++) budget.earn()
  expect(spendAll(budget)).toBe(tokensMax)
})
