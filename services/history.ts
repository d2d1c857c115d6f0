import { isMain } from "./isMain.ts"
import { main, type Program } from "./launch.ts"

/** Past interactions and search over what was said: `bun services/history.ts`. */
export const history: Program = {
  name: "history",
  port: 4005,
  parts: (domain) => domain.partsOf("history"),
  serves: "none"
}

if (isMain(import.meta)) main(history)
