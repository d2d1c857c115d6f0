import * as Postgres from "../../kit/Postgres.ts"
import { contract } from "./contract.ts"

contract(
  "Bun.SQL",
  Postgres.layerWith((settings) => ({ ...settings, driver: "bun" })),
  "server"
)
