import { expect, test } from "bun:test"
import { lastJson, runCommand } from "../kit/command.ts"
import { startServer } from "../kit/server.ts"
import type { Fault } from "./seeded.ts"

const load = (...args: ReadonlyArray<string>) =>
  runCommand([process.execPath, "test/load/load.ts", ...args], {}, 150_000)

test("generated plans break no invariant of the real server", async () => {
  const { stdout, stderr } = await load("--users", "12", "--plans", "8", "--seed", "2024")
  const summary = lastJson(stdout)
  expect(`${stderr}${stdout}`.slice(summary["failed"] === true ? 0 : -1)).toBe("\n")
  expect(summary["acknowledged"]).toBeGreaterThan(20)
  expect(summary["interactions"]).toBeGreaterThan(5)
}, 160_000)

const faults: ReadonlyArray<readonly [Fault, RegExp]> = [
  ["double-match", /matches from \d+ joins|more than/],
  ["acknowledged-before-commit", /was acknowledged and is not in the history|the stream/],
  ["wrong-order", /was acknowledged and is not in the history|differ/]
]
for (const [fault, says] of faults)
  test(`the load test finds ${fault} and shrinks it`, async () => {
    const server = await startServer({ QUEUE_INTERVAL: "100" }, [process.execPath, "test/load/seeded.ts", fault])
    try {
      const { code, stdout } = await load("--users", "6", "--plans", "20", "--seed", "7", "--url", server.url)
      const summary = lastJson(stdout)
      expect(code).toBe(1)
      expect(summary).toMatchObject({ failed: true })
      expect(stdout).toMatch(says)
      expect(stdout).toContain(`--seed ${String(summary["seed"])} --path `)
      expect(summary["shrinks"]).toBeGreaterThan(0)
      expect(summary["smallest"]).toBeLessThanOrEqual(30)
    } finally {
      await server.stop()
    }
  }, 180_000)
