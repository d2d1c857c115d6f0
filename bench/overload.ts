/**
 * The gateway with its own Postgres under more load than it can take: first what it answers when each client waits for its
 * answer, then five times of that whatever comes back. Server and generator are processes of their own.
 * `bun run bench overload [load|drain] [SECONDS]`: without the first, both parts.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { drain } from "./overload/drain.ts"
import { load } from "./overload/load.ts"
import { report } from "./kit.ts"

const only = process.argv[2]
const seconds = Number(process.argv[3] ?? 10)

const folder = mkdtempSync(join(tmpdir(), "connect-bench-overload-"))
process.on("exit", () => rmSync(folder, { recursive: true, force: true }))

report("overload", {
  ...(only === "drain" ? {} : await load(folder, seconds)),
  ...(only === "load" ? {} : await drain(folder))
})
process.exit(0)
