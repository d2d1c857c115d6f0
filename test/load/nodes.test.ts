import { expect, test } from "bun:test"
import { lastJson, runCommand } from "../kit/command.ts"
import { conversationsFile } from "../kit/conversations.ts"

test("a replay over nodes of which one is killed loses, doubles, reorders and changes nothing", async () => {
  const options = ["--nodes", "2", "--kill-every", "3", "--interactions", "5", "--seed", "3", "--pace", "500"]
  const { code, stdout, stderr } = await runCommand(
    [process.execPath, "test/load/replay.ts", "--file", conversationsFile(), ...options],
    {},
    170_000
  )
  expect(`${stderr}${stdout}`.slice(code === 0 ? -1 : 0)).toBe("\n")
  const summary = lastJson(stdout)
  expect(summary).toMatchObject({ lost: 0, duplicated: 0, reordered: 0, historyMismatches: 0, doubleMatches: 0 })
  expect(summary).toMatchObject({ interactions: 5, nodes: 2 })
  expect(summary["kills"]).toBeGreaterThan(0)
}, 180_000)

test("what nodes cannot go with is refused before anything starts", async () => {
  const replay = (...options: ReadonlyArray<string>) =>
    runCommand([process.execPath, "test/load/replay.ts", "--file", conversationsFile(), ...options])
  const both = await replay("--nodes", "3", "--url", "http://127.0.0.1:1")
  expect([both.code, both.stderr]).toEqual([1, "replay: --nodes starts its own servers: it does not go with --url\n"])
  const without = await replay("--kill-every", "5")
  expect([without.code, without.stderr]).toEqual([1, "replay: --kill-every goes with --nodes\n"])
})
