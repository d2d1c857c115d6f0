import { existsSync, openSync, readSync } from "node:fs"

const path = `/proc/self/task/${process.pid}/schedstat`
const file = existsSync(path) ? openSync(path, "r") : undefined
const text = Buffer.alloc(64)

/** Time the kernel let this thread wait for a processor that others had; 0 where it does not tell. */
const queuedMillis = () =>
  file === undefined ? 0 : Number(text.toString("latin1", 0, readSync(file, text, 0, 64, 0)).split(" ")[1]) / 1_000_000

/** Milliseconds on a clock that stands still while other programs keep this thread from a processor. */
export const ownMillis = () => performance.now() - queuedMillis()
