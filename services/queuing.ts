import { isMain } from "./isMain.ts"
import { main, type Program } from "./launch.ts"

/** The queue, matching and the inbox: `bun services/queuing.ts`. */
export const queuing: Program = {
  name: "queuing",
  port: 4002,
  parts: (domain) => domain.partsOf("queuing"),
  serves: "queuing"
}

if (isMain(import.meta)) main(queuing)
