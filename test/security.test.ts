import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Glob } from "bun"
import { contract } from "../src/graphql/contract.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), "utf8")

/** The rows of docs/security.md: number of the requirement and the titles in the last column. */
const rows = [...read("docs/security.md").matchAll(/^\| (\d+\.\d+\.\d+|G\d+) \|.*\| ([^|]+) \|$/gm)].map(
  ([, number, tests]) => ({
    number: number!,
    titles: [...tests!.matchAll(/`([^`]+)`/g)].map(([, title]) => title!)
  })
)

/** Requirements of ASVS 5.0 at levels 1 and 2, by section: how many each has. */
const sections = { "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4, "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2 }

test("docs/security.md has every requirement of ASVS V4 and V7 at levels 1 and 2", () => {
  const wanted = Object.entries(sections).flatMap(([section, count]) =>
    Array.from({ length: count }, (_, index) => `${section}.${index + 1}`)
  )
  expect(rows.map(({ number }) => number)).toEqual(expect.arrayContaining(wanted))
})

test("docs/security.md has every item of the GraphQL cheat sheet that is listed, in order", () => {
  const items = rows.map(({ number }) => number).filter((number) => number.startsWith("G"))
  expect(items).toEqual(Array.from({ length: 18 }, (_, index) => `G${index + 1}`))
})

test("every requirement names a test, and every named test exists", () => {
  const tests = [...new Glob("**/*.test.ts").scanSync(join(root, "test"))]
    .map((file) => read(join("test", file)))
    .join("\n")
  const missing = rows.flatMap(({ number, titles }) =>
    titles.length === 0 ? [`${number} names no test`] : titles.filter((title) => !tests.includes(`"${title}"`))
  )
  expect(missing).toEqual([])
})

test("sessions begin by these mutations and by nothing else", () => {
  const giving = [...contract.matchAll(/^ +(\w+)(?:\([^)]*\))?: AuthPayload\b/gm)].map(([, field]) => field!)
  expect(giving.sort()).toEqual(["changePassword", "signIn", "signInAsGuest", "signUp"])
  const mutations = contract.slice(contract.indexOf("type Mutation {"), contract.indexOf("type Subscription {"))
  for (const field of giving) expect(mutations).toContain(`${field}(`)
})
