import { spawn, type ChildProcess } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** A running program of ours. */
export interface Server {
  readonly url: string
  readonly pid: number
  readonly dataDir: string
  /** What it printed so far, both streams. */
  readonly output: () => string
  readonly exited: Promise<number | null>
  /** SIGTERM, and the exit code. */
  readonly stop: () => Promise<number | null>
  /** SIGKILL, and waits until it is gone. Nothing is cleaned up. */
  readonly kill: () => Promise<void>
}

/** How long a program may take to say that it is ready. */
const readyMillisMax = 60_000

const ready = /(http:\/\/[\d.]+:\d+)\S*[\s\S]*ready in \d+ ms/

/** Programs that this process started and that still run; ended with it. */
const running = new Set<ChildProcess>()
process.on("exit", () => {
  for (const child of running) signal(child, "SIGTERM")
})

/** To the program and what it started, as Ctrl-C in a terminal does: a task runner does not pass a signal on. */
const signal = (child: ChildProcess, name: "SIGTERM" | "SIGKILL"): void => {
  try {
    process.kill(-child.pid!, name)
  } catch {
    // It is gone already.
  }
}

/**
 * Starts a program and waits until it is ready. Without `env.DATA_DIR` it gets a temporary folder that is removed when
 * it is stopped. `command` defaults to Bun on `services/all.ts`.
 */
export const startServer = async (
  env: Readonly<Record<string, string>> = {},
  command: ReadonlyArray<string> = [process.execPath, "services/all.ts"]
): Promise<Server> => {
  const temporary = env["DATA_DIR"] === undefined ? await mkdtemp(join(tmpdir(), "connect-")) : undefined
  const dataDir = env["DATA_DIR"] ?? join(temporary!, "data")
  const child = spawn(command[0]!, command.slice(1), {
    cwd: root,
    env: { ...process.env, PORT: "0", DATA_DIR: dataDir, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true
  })
  running.add(child)
  let output = ""
  const exited = new Promise<number | null>((resolve) =>
    child.once("exit", (code) => {
      running.delete(child)
      resolve(code)
    })
  )
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`not ready within ${readyMillisMax} ms:\n${output}`)),
      readyMillisMax
    )
    const read = (chunk: Buffer) => {
      output = (output + chunk.toString("utf8")).slice(-200_000)
      const match = ready.exec(output)
      if (match === null) return
      clearTimeout(timer)
      resolve(match[1]!)
    }
    child.stdout.on("data", read)
    child.stderr.on("data", read)
    void exited.then((code) => {
      clearTimeout(timer)
      reject(new Error(`exited with ${code} before it was ready:\n${output}`))
    })
  }).catch((error: unknown) => {
    signal(child, "SIGKILL")
    throw error
  })
  return {
    url,
    pid: child.pid!,
    dataDir,
    output: () => output,
    exited,
    stop: async () => {
      signal(child, "SIGTERM")
      const code = await exited
      if (temporary !== undefined) await rm(temporary, { recursive: true, force: true })
      return code
    },
    kill: async () => {
      signal(child, "SIGKILL")
      await exited
    }
  }
}
