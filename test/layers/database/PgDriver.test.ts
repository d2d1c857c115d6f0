import * as Postgres from "../../kit/Postgres.ts"
import { contract } from "./contract.ts"

contract(
  "pg",
  Postgres.layerWith((settings) => ({ ...settings, driver: "pg" })),
  "server"
)
