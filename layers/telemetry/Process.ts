import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as os from "node:os"
import process from "node:process"
import { Process } from "../../src/telemetry/Process.ts"

/** This process, read through `node:process`, which Bun and Deno have too. */
export const layer: Layer.Layer<Process> = Layer.sync(Process, () => {
  const memoryBytesMax = limit()
  return {
    runtime,
    sample: Effect.sync(() => {
      const memory = process.memoryUsage()
      const cpu = process.cpuUsage()
      return {
        cpuSeconds: (cpu.user + cpu.system) / 1e6,
        residentBytes: memory.rss,
        heapUsedBytes: memory.heapUsed,
        memoryBytesMax,
        uptimeSeconds: process.uptime()
      }
    }),
    collect: Effect.sync(() => {
      if (runtime === "bun") Bun.gc(true)
    })
  }
})

const runtime: "bun" | "deno" | "node" = process.versions["bun"] ? "bun" : process.versions["deno"] ? "deno" : "node"

/** Without a limit Node says 2^64 and Deno 2^63, while Bun says what the machine has. */
const limit = (): number => {
  const constrained = process.constrainedMemory()
  return constrained > 0 ? Math.min(constrained, os.totalmem()) : os.totalmem()
}
