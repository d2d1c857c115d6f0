import { expect, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { lastJson, runCommand } from "../kit/command.ts"
import { conversationsFile } from "../kit/conversations.ts"
import { freePort } from "../kit/ports.ts"
import { type Server, startServer } from "../kit/server.ts"

test("every acknowledged message is there after kill -9 in the middle of a replay and a restart", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "connect-crash-"))
  const env = { DATA_DIR: join(dataDir, "data"), PORT: String(await freePort()) }
  let server: Server = await startServer(env)
  const { url } = server
  const replay = runCommand(
    [process.execPath, "test/load/replay.ts", "--file", conversationsFile(), "--interactions", "30", "--url", url],
    {},
    150_000
  )
  try {
    let kills = 0
    while (kills < 3 && (await Promise.race([replay, Bun.sleep(2_500)])) === undefined) {
      await server.kill()
      kills++
      server = await startServer(env)
    }
    const { code, stdout, stderr } = await replay
    expect(kills).toBeGreaterThan(0)
    expect(`${stderr}${stdout}`.slice(code === 0 ? -1 : 0)).toBe("\n")
    expect(lastJson(stdout)).toMatchObject({
      lost: 0,
      duplicated: 0,
      reordered: 0,
      historyMismatches: 0,
      doubleMatches: 0
    })
  } finally {
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}, 180_000)
