import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const tests = fileURLToPath(new URL("..", import.meta.url))

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

const isOurs = (path: string): boolean => path.startsWith(tests) && existsSync(path)

/** The tests of a folder and what is below it that need nothing but their process. */
export const unitsOf = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".test.ts"))
    .map((file) => join(folder, file))
    .filter((file) => !isHeavy(file))
    .sort()
