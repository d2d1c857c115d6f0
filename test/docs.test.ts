import { expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Glob } from "bun"
import { codeOf, errors } from "../src/errors.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), "utf8")
const pages = [...new Glob("{README,CHANGELOG}.md").scanSync(root), ...new Glob("docs/**/*.md").scanSync(root)]

test("docs/errors.md has every error with its status and whether to retry, and no other", () => {
  const rows = [...read("docs/errors.md").matchAll(/^\| ([A-Z_]+) \| (\d+) \| (yes|no) \|/gm)].map(
    ([, code, status, retry]) => ({
      code: code!,
      status: Number(status),
      retryable: retry === "yes"
    })
  )
  const table = Object.entries(errors).map(([tag, info]) => ({ code: codeOf(tag), ...info }))
  const byCode = (a: { readonly code: string }, b: { readonly code: string }) => (a.code < b.code ? -1 : 1)
  expect(rows.sort(byCode)).toEqual(table.sort(byCode))
})

test("every link between the pages leads somewhere", () => {
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
      .filter(([, target]) => !existsSync(join(root, dirname(page), target!)))
      .map(([, target]) => `${page} -> ${target}`)
  )
  expect(broken).toEqual([])
})

test("every command that the pages show is a script of package.json", () => {
  const { scripts } = JSON.parse(read("package.json")) as { readonly scripts: Readonly<Record<string, string>> }
  const unknown = pages.flatMap((page) =>
    [...read(page).matchAll(/\bbun(?:@[\d.]+)? run ([a-z][a-z:]*)/g)]
      .filter(([, name]) => scripts[name!] === undefined)
      .map(([, name]) => `${page}: bun run ${name}`)
  )
  expect(unknown).toEqual([])
})
