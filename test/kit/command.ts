import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** What a command that ran to its end left behind. */
export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command of ours from the project's folder to its end; killed after `millis`. */
export const runCommand = (
  command: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {},
  millis = 60_000
): Promise<Outcome> =>
  new Promise((resolve, reject) => {
    const child = spawn(command[0]!, command.slice(1), { cwd: root, env: { ...process.env, ...env } })
    const timer = setTimeout(() => child.kill("SIGKILL"), millis)
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString("utf8")))
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString("utf8")))
    child.once("error", reject)
    child.once("close", (code) => {
      clearTimeout(timer)
      resolve({ code, stdout, stderr })
    })
  })

/** The JSON object in the last line of an output. */
export const lastJson = (output: string): Record<string, unknown> =>
  JSON.parse(output.trimEnd().split("\n").at(-1) ?? "") as Record<string, unknown>
