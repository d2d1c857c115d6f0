import { beforeAll, expect, test } from "bun:test"
import { runCommand } from "../kit/command.ts"
import { startServer } from "../kit/server.ts"
import { twoPeopleTalk } from "../kit/talk.ts"

beforeAll(async () => {
  const { code, stdout, stderr } = await runCommand([process.execPath, "run", "build"])
  expect(code === 0 ? "" : `${stdout}${stderr}`).toBe("")
}, 60_000)

const runtimes = {
  Bun: [process.execPath, "services/all.ts"],
  Node: ["node", "build/services/all.js"],
  Deno: ["node_modules/.bin/deno", "task", "start"]
}
for (const [name, command] of Object.entries(runtimes))
  test(`on ${name}, two people sign up, queue, are matched and talk`, async () => {
    const server = await startServer({}, command)
    try {
      await twoPeopleTalk(server.url)
    } finally {
      await server.stop()
    }
  }, 60_000)
