import * as Postgres from "../../kit/Postgres.ts"
import { contract } from "./contract.ts"

contract("PGlite", Postgres.layerPglite, { cancels: false, concurrent: false })
