import { isMain } from "./isMain.ts"
import { main, type Program } from "./launch.ts"

/** Messages: sending and pages: `bun services/communication.ts`. */
export const communication: Program = {
  name: "communication",
  port: 4004,
  parts: (domain) => domain.partsOf("communication"),
  serves: "none"
}

if (isMain(import.meta)) main(communication)
