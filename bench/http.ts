/**
 * The HTTP surface beside its peers: the same rows in memory, the same questions, servers and generator in processes of
 * their own, one after the other in each round. Ours runs with everything that stands before a resolver in production:
 * session, rate limits, limits on documents, metrics, deadlines. A peer runs on Node and on Bun, and counts where it is faster.
 * `bun run bench http [ROUNDS] [SECONDS] [PART …]`, where the parts are those of `surface` and `crowd`, or either of these two.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { crowd } from "./http/crowd.ts"
import { type Figures, parts } from "./http/surface.ts"
import { report } from "./kit.ts"

const [rounds = "5", seconds = "2", ...asked] = process.argv.slice(2)
const folder = mkdtempSync(join(tmpdir(), "connect-bench-http-"))
process.on("exit", () => rmSync(folder, { recursive: true, force: true }))
const plan = { folder, rounds: Number(rounds), seconds: Number(seconds) }

let figures: Figures = {}
for (const [name, part] of [...Object.entries(parts), ["crowd", () => crowd(folder)] as const]) {
  const names = name === "crowd" ? [name] : [name, "surface"]
  if (asked.length > 0 && !names.some((one) => asked.includes(one))) continue
  figures = { ...figures, ...(await part(plan)) }
}
report("http", figures)
process.exit(0)
