import { isMain } from "./isMain.ts"
import { main, type Program } from "./launch.ts"

/** Reports, actions and the audit log: `bun services/moderation.ts`. */
export const moderation: Program = {
  name: "moderation",
  port: 4006,
  parts: (domain) => domain.partsOf("moderation"),
  serves: "moderation"
}

if (isMain(import.meta)) main(moderation)
