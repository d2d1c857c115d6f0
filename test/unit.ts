import { existsSync, readFileSync, statSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { Glob } from "bun"

const folder = fileURLToPath(new URL(".", import.meta.url))

/** What starts a server, a browser or another process: a test that reaches one of these is not a unit test. */
const heavy = /kit\/(Postgres|Redis|server|command)\.ts$|"(playwright-core|node:child_process)"|layers\/http|Bun\.spawn/

const known = new Map<string, boolean>()

/** Whether a file of the tests, or one that it imports from there, starts something. */
const isHeavy = (path: string): boolean => {
  const before = known.get(path)
  if (before !== undefined) return before
  known.set(path, false)
  const text = readFileSync(path, "utf8")
  const imports = [...text.matchAll(/from "(\.{1,2}\/[^"]+)"/g)].map(([, target]) => join(dirname(path), target!))
  const found = heavy.test(path) || heavy.test(text) || imports.some((file) => isOurs(file) && isHeavy(file))
  known.set(path, found)
  return found
}

const isOurs = (path: string): boolean => path.startsWith(folder) && existsSync(path)

/** `bun run test:unit`: the tests that need nothing but this process. */
const units = [...new Glob("**/*.test.ts").scanSync(folder)]
  .map((file) => join(folder, file))
  .filter((file) => !isHeavy(file))
  .sort((a, b) => statSync(b).size - statSync(a).size)

/** Processes side by side; what they print comes one after the other. */
const shards = 2
const running = Array.from({ length: shards }, (_, shard) =>
  Bun.spawn(
    [
      process.execPath,
      "test",
      ...units.filter((_, i) => i % shards === shard).map((file) => `./${relative(process.cwd(), file)}`),
      ...process.argv.slice(2)
    ],
    { stdout: "pipe", stderr: "pipe" }
  )
)
let code = 0
for (const tests of running) {
  const [out, err] = await Promise.all([new Response(tests.stdout).text(), new Response(tests.stderr).text()])
  process.stdout.write(out)
  process.stderr.write(err)
  code = Math.max(code, await tests.exited)
}
process.exit(code)
