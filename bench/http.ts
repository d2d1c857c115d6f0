/**
 * The HTTP surface beside its peers: the same rows in memory, the same questions, servers and generator in processes of
 * their own, one after the other in each round. Ours runs with everything that stands before a resolver in production:
 * session, rate limits, limits on documents, metrics, deadlines. A peer runs on the runtime it is built for, and beside that on Bun.
 * `bun run bench http [ROUNDS] [SECONDS] [PART …]`, where a part is one of `surface` or `crowd`, or one of
 * these two for all of its parts.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parts as crowd } from "./http/crowd.ts"
import { type Figures, parts as surface } from "./http/surface.ts"
import { report } from "./kit.ts"

const [rounds = "5", seconds = "2", ...asked] = process.argv.slice(2)
const folder = mkdtempSync(join(tmpdir(), "connect-bench-http-"))
process.on("exit", () => rmSync(folder, { recursive: true, force: true }))
const plan = { folder, rounds: Number(rounds), seconds: Number(seconds) }

let figures: Figures = {}
for (const [group, parts] of Object.entries({ surface, crowd })) {
  for (const [name, part] of Object.entries(parts)) {
    const isAsked = asked.length === 0 || asked.includes(name) || asked.includes(group)
    if (isAsked) figures = { ...figures, ...(await part(plan)) }
  }
}
report("http", figures)
process.exit(0)
