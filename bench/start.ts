/**
 * How long a newcomer waits: from the start of the process to the first answer of GraphQL, on an empty data folder and on
 * one that is there, and what the idle process holds in memory (Postgres apart).
 * `bun run bench start [ROUNDS]`
 */
import { spawn, type ChildProcess } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { freePort } from "../test/kit/ports.ts"
import { median, report, table } from "./kit.ts"

const rounds = Number(process.argv[2] ?? 5)
const root = fileURLToPath(new URL("..", import.meta.url))

/** Targets of the first version: milliseconds, milliseconds, megabytes. */
const targets = { first_start_millis: 5_000, second_start_millis: 1_500, idle_rss_megabytes: 150 }

const answered = async (url: string): Promise<boolean> => {
  const body = JSON.stringify({ query: "{ queueStats { waiting } }" })
  const headers = { "content-type": "application/json" }
  return fetch(`${url}/graphql`, { method: "POST", headers, body }).then(
    (response) => response.status === 200,
    () => false
  )
}

const stop = (child: ChildProcess): Promise<unknown> => {
  const gone = new Promise((resolve) => child.once("exit", resolve))
  child.kill("SIGTERM")
  return gone
}

const start = async (dataDir: string): Promise<{ readonly child: ChildProcess; readonly millis: number }> => {
  const port = await freePort()
  const env = { ...process.env, PORT: String(port), DATA_DIR: dataDir }
  const began = performance.now()
  const child = spawn(process.execPath, ["services/all.ts"], { cwd: root, env, stdio: "ignore" })
  while (!(await answered(`http://127.0.0.1:${port}`))) {
    if (child.exitCode !== null || performance.now() - began > 60_000) throw new Error("The program does not start")
    await Bun.sleep(20)
  }
  return { child, millis: performance.now() - began }
}

const rssMegabytes = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? Number.NaN) / 1_024

const seen = {
  first_start_millis: [] as number[],
  second_start_millis: [] as number[],
  idle_rss_megabytes: [] as number[]
}
for (let round = 1; round <= rounds; round++) {
  const folder = mkdtempSync(join(tmpdir(), "connect-start-"))
  try {
    const first = await start(join(folder, "data"))
    await stop(first.child)
    const second = await start(join(folder, "data"))
    await Bun.sleep(3_000)
    const rss = rssMegabytes(second.child.pid!)
    await stop(second.child)
    seen.first_start_millis.push(first.millis)
    seen.second_start_millis.push(second.millis)
    seen.idle_rss_megabytes.push(rss)
    const shown = [`${Math.round(first.millis)} ms`, `${Math.round(second.millis)} ms`, `${Math.round(rss)} MB`]
    console.error(`round ${round}/${rounds}: ${shown.join(", ")}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const figures = {
  first_start_millis: median(seen.first_start_millis),
  second_start_millis: median(seen.second_start_millis),
  idle_rss_megabytes: median(seen.idle_rss_megabytes)
}
const names = Object.keys(targets) as ReadonlyArray<keyof typeof targets>
console.log(table(names.map((figure) => ({ figure, median: figures[figure], "at most": targets[figure] }))))
report("start", figures)
