import { isMain } from "./isMain.ts"
import { main, type Program } from "./launch.ts"

/** Accounts, sessions, profiles, search and blocks: `bun services/user.ts`. */
export const user: Program = { name: "user", port: 4001, parts: (domain) => domain.partsOf("user"), serves: "user" }

if (isMain(import.meta)) main(user)
