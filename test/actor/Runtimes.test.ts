import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { unitsOf } from "../kit/units.ts"

const root = join(import.meta.dirname, "../..")
const folder = mkdtempSync(join(tmpdir(), "connect-actor-"))
const entry = join(folder, "local.ts")
const program = join(folder, "local.js")

/** Puts the runtime's own test runner where a test asks for Bun's. */
const runner: Bun.BunPlugin = {
  name: "runner",
  setup: (build) => {
    build.onResolve({ filter: /^bun:test$/ }, () => ({ path: join(root, "test/kit/nodeTest.ts") }))
  }
}

beforeAll(async () => {
  const tests = unitsOf(import.meta.dirname)
  writeFileSync(entry, tests.map((file) => `import ${JSON.stringify(file)}\n`).join(""))
  await Bun.build({ entrypoints: [entry], outdir: folder, target: "node", plugins: [runner] })
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Exit code, and how many tests passed. */
const run = async (command: ReadonlyArray<string>) => {
  const tests = Bun.spawn([...command, program], { cwd: folder, stdout: "pipe", stderr: "inherit", env: plain })
  const output = await new Response(tests.stdout).text()
  const code = await tests.exited
  if (code !== 0) console.error(output)
  return { code, passed: Number(/^# pass (\d+)|\| (\d+) passed/m.exec(output)?.slice(1).find(Boolean)) }
}

const plain = { ...process.env, NO_COLOR: "1" }

const onNode = ["node", "--test", "--test-force-exit"]
const onDeno = [join(root, "node_modules/.bin/deno"), "test", "--allow-all", "--no-check", "--no-lock"]

test("the local backend's tests pass on Node and Deno as they do here", async () => {
  const [node, deno] = await Promise.all([run(onNode), run(onDeno)])
  expect(node).toEqual({ code: 0, passed: expect.any(Number) })
  expect(node.passed).toBeGreaterThan(40)
  expect(deno).toEqual(node)
}, 120_000)
