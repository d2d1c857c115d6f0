import { freePort } from "../../test/kit/ports.ts"

export interface NodeProcess {
  readonly port: number
  readonly stop: (signal: "SIGTERM" | "SIGKILL") => Promise<number>
}

/** Starts bench/actor/node.ts and waits until it serves. */
export const startNode = async (url: string, kind: "ours" | "cluster"): Promise<NodeProcess> => {
  const port = await freePort()
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/node.ts`, url, String(port), kind], {
    stdout: "pipe",
    stderr: "inherit"
  })
  const reader = child.stdout.getReader()
  for (let text = ""; !text.includes("ready");) {
    const { done, value } = await reader.read()
    if (done) throw new Error(`A node ended before it was ready: ${text}`)
    text += new TextDecoder().decode(value)
  }
  reader.releaseLock()
  return {
    port,
    stop: async (signal) => {
      child.kill(signal)
      return child.exited
    }
  }
}
