import { expect, test } from "bun:test"
import { RetryBudget, share, tokensMax } from "../../src/actor/cluster/RetryBudget.ts"
import { backoffMillis, Client, GraphqlFailure } from "../kit/Client.ts"

const people = 200

test("clients whose server refuses all of them repeat a share of their calls and what was saved, not each as often as it likes", async () => {
  let asked = 0
  const overloaded = { code: "OVERLOADED", retryable: true, retryAfterMillis: 1 }
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => {
      asked++
      return Response.json({ errors: [{ message: "Too much to do", extensions: overloaded }] }, { status: 503 })
    }
  })
  // Time puts nothing in.
  const budget = new RetryBudget(() => 0)
  const outcomes = await Promise.allSettled(
    Array.from({ length: people }, () =>
      new Client(`http://127.0.0.1:${server.port}`, undefined, { budget, patienceMillis: 500 }).call("{ __typename }")
    )
  )
  await server.stop(true)
  for (const outcome of outcomes) {
    expect(outcome.status === "rejected" && outcome.reason).toBeInstanceOf(GraphqlFailure)
  }
  const most = people + tokensMax / 2 + people * share
  expect(asked).toBeWithin(most - 1, most + 1)
})

test("who fails again and again waits longer, up to a second, and not as long as the others", () => {
  const waits = (failures: number) => Array.from({ length: 50 }, () => backoffMillis(failures))
  expect(Math.max(...waits(0))).toBeLessThan(Math.min(...waits(2)))
  expect(Math.max(...waits(20))).toBeLessThanOrEqual(1_000)
  expect(Math.min(...waits(20))).toBeGreaterThanOrEqual(500)
  expect(new Set(waits(20)).size).toBeGreaterThan(40)
})
