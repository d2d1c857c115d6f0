import { relative } from "node:path"
import { unitsOf } from "./kit/units.ts"

/** `bun run test:unit`: the tests that need nothing but this process, in two processes that share the files. */
const units = unitsOf(import.meta.dirname).map((file) => `./${relative(process.cwd(), file)}`)

const tests = Bun.spawn(
  [process.execPath, "test", "--parallel=2", "--no-isolate", ...units, ...process.argv.slice(2)],
  { stdio: ["inherit", "inherit", "inherit"] }
)
process.exit(await tests.exited)
