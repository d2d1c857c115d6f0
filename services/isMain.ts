import { realpathSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** Whether this module is the program that was started, on Bun, Deno and Node alike (Node 20 has no import.meta.main). */
export const isMain = (meta: ImportMeta): boolean => {
  const started = process.argv[1]
  return started !== undefined && realpathSync(started) === realpathSync(fileURLToPath(meta.url))
}
