import { expect, test } from "bun:test"
import { lastJson, runCommand } from "../kit/command.ts"
import { freePort } from "../kit/ports.ts"

const fuzz = (...args: ReadonlyArray<string>) =>
  runCommand([process.execPath, "test/load/fuzz.ts", ...args], {}, 100_000)

test("generated requests find no crash, no answer that is not meant, and no leak", async () => {
  const { code, stderr, stdout } = await fuzz("--seconds", "5", "--seed", "2024")
  const summary = lastJson(stdout)
  expect(`${stderr}${stdout}`.slice(code === 0 ? -1 : 0)).toBe("\n")
  expect(summary).toMatchObject({ findings: 0, errorsLogged: 0, alive: true })
  expect(Object.keys(summary["byWay"] as object).sort()).toEqual(["get", "post", "socket", "stream"])
}, 110_000)

test("a server that is careless is found out, by the smallest request", async () => {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const text = request.method === "POST" ? await request.text() : ""
      return text.includes("queueStats")
        ? new Response("TypeError\n    at resolve (/app/src/queue.ts:1:2)", { status: 500 })
        : Response.json({ errors: [{ message: "No", extensions: { code: "FORBIDDEN" } }] })
    }
  })
  const { code, stdout } = await fuzz("--seconds", "1", "--seed", "1", "--url", `http://127.0.0.1:${server.port}`)
  await server.stop(true)
  expect(code).toBe(1)
  expect(stdout).toMatch(/^status 500 without JSON, after \d+ shrinks:/m)
  expect(stdout).toContain("queueStats")
}, 110_000)

test("a server that does not answer is named with what to do about it, and no stack", async () => {
  const url = `http://127.0.0.1:${await freePort()}`
  const { code, stderr, stdout } = await fuzz("--seed", "1", "--url", url)
  expect(code).toBe(1)
  expect(stdout).toBe("")
  expect(stderr.split("\n")).toEqual([
    "seed 1",
    `fuzz: ${url} did not answer`,
    "Start a server there with `bun run start`, or leave out --url: then one is started for this.",
    ""
  ])
})
