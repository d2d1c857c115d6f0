import { statSync } from "node:fs"
import { relative } from "node:path"
import { unitsOf } from "./kit/units.ts"

/** `bun run test:unit`: the tests that need nothing but this process. */
const units = [...unitsOf(import.meta.dirname)].sort((a, b) => statSync(b).size - statSync(a).size)

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
