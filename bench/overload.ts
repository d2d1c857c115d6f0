/**
 * The gateway under more load than it can take: first what it answers when each client waits for its answer, then five
 * times of that whatever comes back. Server and generator are processes of their own.
 * `pool`: each statement takes 5 ms of a connection and the pool is small, so the limit is what the gateway waits for and
 * it has CPU left; the figures' targets were set for this (a 5 ms handler, a pool of 10). `cpu`: its Postgres is next to
 * it, on the same two cores as server and generator, so each refusal takes from what the answers need.
 * `bun run bench overload [pool|cpu|drain] [SECONDS]`: without the first, all parts.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { drain } from "./overload/drain.ts"
import { cpu, pool } from "./overload/load.ts"
import { report } from "./kit.ts"

const only = process.argv[2]
const seconds = Number(process.argv[3] ?? 10)

const folder = mkdtempSync(join(tmpdir(), "connect-bench-overload-"))
process.on("exit", () => rmSync(folder, { recursive: true, force: true }))

const parts = { pool: () => pool(folder, seconds), cpu: () => cpu(folder, seconds), drain: () => drain(folder) }
const figures: Record<string, number> = {}
for (const [name, part] of Object.entries(parts)) {
  if (only === undefined || only === name) Object.assign(figures, await part())
}
report("overload", figures)
process.exit(0)
