import { expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { lastJson, runCommand } from "../kit/command.ts"
import { conversationsFile } from "../kit/conversations.ts"

const replay = (...args: ReadonlyArray<string>) =>
  runCommand([process.execPath, "test/load/replay.ts", ...args], {}, 110_000)

test("a replay of conversations loses, doubles, reorders and changes nothing", async () => {
  const { code, stdout, stderr } = await replay("--file", conversationsFile(), "--interactions", "24", "--seed", "7")
  expect(`${stderr}${stdout}`.slice(code === 0 ? -1 : 0)).toBe("\n")
  const summary = lastJson(stdout)
  expect(summary).toMatchObject({ lost: 0, duplicated: 0, reordered: 0, historyMismatches: 0, doubleMatches: 0 })
  expect(summary["reconnects"]).toBeGreaterThan(0)
}, 120_000)

test("a file that is not conversations is refused with the line at fault", async () => {
  const folder = await mkdtemp(join(tmpdir(), "connect-replay-"))
  const path = join(folder, "broken.jsonl")
  writeFileSync(path, '{"id":"a","interests":[[],[]],"messages":[]}\n{"id":"b","interests":[["x"]]}\n')
  const { code, stderr } = await replay("--file", path)
  await rm(folder, { recursive: true })
  expect(code).toBe(1)
  expect(stderr).toContain("line 2")
  expect(stderr).toContain("interests")
})

test("a file that is not there is named", async () => {
  const { code, stderr } = await replay("--file", "no-such.jsonl")
  expect(code).toBe(1)
  expect(stderr).toContain("no-such.jsonl")
})
