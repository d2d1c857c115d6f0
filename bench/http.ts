/**
 * The HTTP surface beside its peers: the same rows in memory, the same questions, servers and generator in processes of
 * their own, one after the other in each round. Ours runs with everything that stands before a resolver in production:
 * session, rate limits, limits on documents, metrics, deadlines. Mercurius and Apollo run on Node, Yoga on Bun.
 * `bun run bench http [ROUNDS] [SECONDS] [surface|crowd]`: without the last, both parts.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { crowd } from "./http/crowd.ts"
import { surface } from "./http/surface.ts"
import { report } from "./kit.ts"

const rounds = Number(process.argv[2] ?? 5)
const seconds = Number(process.argv[3] ?? 2)
const only = process.argv[4]

const folder = mkdtempSync(join(tmpdir(), "connect-bench-http-"))
process.on("exit", () => rmSync(folder, { recursive: true, force: true }))

report("http", {
  ...(only === "crowd" ? {} : await surface(folder, rounds, seconds)),
  ...(only === "surface" ? {} : await crowd(folder))
})
process.exit(0)
