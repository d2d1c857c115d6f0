import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Glob } from "bun"

/** Lines of one file at most; a longer one is two files. The contract is one document. */
const linesMax = 450

const root = fileURLToPath(new URL("..", import.meta.url))
const files = ["src", "layers", "services", "test", "bench"].flatMap((folder) =>
  [...new Glob(`${folder}/**/*.ts`).scanSync(root)].filter((path) => !path.includes("node_modules"))
)
const product = files.filter((path) => /^(src|layers|services)\//.test(path))
const lines = (path: string): ReadonlyArray<string> => readFileSync(join(root, path), "utf8").split("\n")

/** The lines of the files that the pattern finds, as path:line. */
const found = (paths: ReadonlyArray<string>, pattern: RegExp): ReadonlyArray<string> =>
  paths.flatMap((path) => lines(path).flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}`] : [])))

test("no file is longer than a reader can hold", () => {
  const long = files.filter((path) => lines(path).length > linesMax && path !== "src/graphql/contract.ts")
  expect(long).toEqual([])
})

test("no comment is a banner", () => {
  expect(found(files, /^\s*(\/\/|\*|\/\*)\s*([-=*#~]{4,})/)).toEqual([])
})

test("Effect is imported by module, never as a whole", () => {
  expect(found(product, /from "(effect|@effect\/(platform|sql|rpc|cluster|platform-bun|platform-node))"/)).toEqual([])
})

test("src takes time, chance and settings from Layers", () => {
  const src = product.filter((path) => path.startsWith("src/"))
  expect(found(src, /\b(Date\.now|Math\.random|setTimeout|setInterval|process\.env)\b/)).toEqual([])
})

test("nobody waits behind a semaphore that wakes every waiter, unless the line above says that few do", () => {
  const waits = found(product, /\bmakeSemaphore\b|effect\/(Pool|RateLimiter)"/)
  const few = product.flatMap((path) =>
    lines(path).flatMap((line, i) => (/\/\/ At most \w+ wait/.test(line) ? [`${path}:${i + 2}`] : []))
  )
  expect(waits.filter((place) => !few.includes(place))).toEqual([])
})

test("names say what a thing is", () => {
  const vague = product.filter((path) => /(Manager|Helper|Utils?|Service|Live)\.ts$/i.test(basename(path)))
  expect(vague).toEqual([])
})
