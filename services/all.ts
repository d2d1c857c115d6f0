import { isMain } from "./isMain.ts"
import { main, type Program } from "./launch.ts"

/** The seven services in one process: `bun run start`. */
export const all: Program = { name: "all", port: 4000, parts: (domain) => domain.whole, serves: "all" }

if (isMain(import.meta)) main(all)
