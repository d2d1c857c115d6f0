import { isMain } from "./isMain.ts"
import { main, type Program } from "./launch.ts"

/** The live rooms: events, typing, receipts, the end: `bun services/interaction.ts`. */
export const interaction: Program = {
  name: "interaction",
  port: 4003,
  parts: (domain) => domain.partsOf("interaction"),
  serves: "interaction"
}

if (isMain(import.meta)) main(interaction)
