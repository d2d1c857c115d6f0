import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { runCommand } from "../kit/command.ts"
import { freePort } from "../kit/ports.ts"
import { startServer } from "../kit/server.ts"

const all = [process.execPath, "services/all.ts"]
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "connect-startup-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** In development, which logs the most. What it says is for people: none of it is a stack. */
const start = async (env: Readonly<Record<string, string>>) => {
  const development = { NODE_ENV: "development", LOG_LEVEL: "", PORT: "0", DATA_DIR: join(folder, "data") }
  const outcome = await runCommand(all, { ...development, ...env }, 30_000)
  expect(outcome.stdout + outcome.stderr).not.toMatch(/unhandled|^ +at /m)
  return outcome
}

describe("a program that cannot start says which part, where, and what to set", () => {
  test("a port in use", async () => {
    const taken = createServer().listen(0, "127.0.0.1")
    await new Promise((resolve) => taken.once("listening", resolve))
    const { port } = taken.address() as { readonly port: number }
    const { code, stderr } = await start({ PORT: String(port) })
    taken.close()
    expect(code).toBe(1)
    expect(stderr).toContain(`127.0.0.1:${port}`)
    expect(stderr).toContain("PORT")
  })

  test("a data folder that another process uses", async () => {
    const dataDir = join(folder, "in use")
    const server = await startServer({ DATA_DIR: dataDir })
    const { code, stderr } = await start({ DATA_DIR: dataDir })
    await server.stop()
    expect(code).toBe(1)
    expect(stderr).toContain(String(server.pid))
    expect(stderr).toContain("DATA_DIR")
  }, 30_000)

  test("Postgres that does not answer, without showing its password", async () => {
    const port = await freePort()
    const { code, stderr, stdout } = await start({ DATABASE_URL: `postgres://me:hush-hush@127.0.0.1:${port}/connect` })
    expect(code).toBe(1)
    expect(stderr).toContain(`127.0.0.1:${port}`)
    expect(stderr).toContain("DATABASE_URL")
    expect(stderr + stdout).not.toContain("hush-hush")
  }, 30_000)

  test("Redis that does not answer", async () => {
    const port = await freePort()
    const { code, stderr } = await start({ REDIS_HOST: "127.0.0.1", REDIS_PORT: String(port) })
    expect(code).toBe(1)
    expect(stderr).toContain(`127.0.0.1:${port}`)
    expect(stderr).toContain("REDIS_HOST")
  }, 30_000)

  test("a setting that cannot be read", async () => {
    const { code, stderr } = await start({ PORT: "many" })
    expect(code).toBe(1)
    expect(stderr).toContain("PORT")
  })
})

test("SIGTERM stops the program and its Postgres, and the folder can be used again", async () => {
  const dataDir = join(folder, "again")
  const first = await startServer({ DATA_DIR: dataDir })
  expect(await first.stop()).toBe(0)
  const second = await startServer({ DATA_DIR: dataDir })
  expect(await second.stop()).toBe(0)
}, 30_000)
