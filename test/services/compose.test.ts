import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

interface Service {
  readonly image?: string
  readonly mem_limit?: string
  readonly environment?: Readonly<Record<string, string>>
}

const file = fileURLToPath(new URL("../../compose.yaml", import.meta.url))
const { services } = Bun.YAML.parse(readFileSync(file, "utf8")) as { readonly services: Record<string, Service> }
const programs = Object.values(services).filter(({ image }) => image === "realtime-connect")

test("each program's engine is told the memory that its container has", () => {
  expect(programs.length).toBe(7)
  for (const { environment, mem_limit: limit = "" } of programs) {
    const [, megabytes] = /^(\d+)m$/.exec(limit)!
    expect(Number(environment!["BUN_JSC_forceRAMSize"])).toBe(Number(megabytes) * 1_024 * 1_024)
  }
})
