import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { Database } from "../../../src/database/Database.ts"
import { withLayer } from "../../kit/effect.ts"
import { deadlines } from "./contract/deadlines.ts"
import { interruptions } from "./contract/interruptions.ts"
import { listening, relistening } from "./contract/listening.ts"
import { sharing } from "./contract/sharing.ts"
import type { SqlTest } from "./contract/SqlTest.ts"
import { transactions } from "./contract/transactions.ts"
import { values } from "./contract/values.ts"

/** What every driver behind SqlClient does the same: on a server, through a pooler of transactions, or in this process. */
export const contract = (
  name: string,
  layer: Layer.Layer<SqlClient.SqlClient | Database>,
  where: "server" | "pooler" | "process"
): void =>
  withLayer(name, layer, (test) => {
    const sqlTest: SqlTest = (title, body) => test(title, () => Effect.flatMap(SqlClient.SqlClient, body))
    values(sqlTest, where !== "process" ? 1_000_000 : 100_000)
    transactions(sqlTest, where !== "process" ? 10 : 1)
    if (where !== "pooler") listening(sqlTest)
    if (where === "server") relistening(sqlTest)
    if (where === "process") return
    sharing(sqlTest)
    interruptions(sqlTest)
    deadlines(sqlTest)
  })
