import { isMain } from "./isMain.ts"
import { main, type Program } from "./launch.ts"

/** The whole schema for clients, beside the other programs on the same Postgres and Redis: `bun services/gateway.ts`. */
export const gateway: Program = { name: "gateway", port: 4000, parts: (domain) => domain.whole, serves: "none" }

if (isMain(import.meta)) main(gateway)
