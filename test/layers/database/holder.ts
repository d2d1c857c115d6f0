import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as DatabaseLayer from "../../../layers/Database.ts"
import * as Settings from "../../../src/config/Settings.ts"

/**
 * A program on the database that its environment names. Writes numbers, one row each, and says `acknowledged N` when the
 * database has them, until it is told to stop or killed.
 */
const say = (text: string) => Effect.sync(() => void process.stdout.write(`${text}\n`))

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table if not exists numbers (n int primary key)`
  const [row] = yield* sql<{ n: number }>`select coalesce(max(n), 0)::int as n from numbers`
  yield* say(`ready ${process.pid}`)
  let n = row?.n ?? 0
  yield* Effect.forever(
    Effect.suspend(() =>
      sql`insert into numbers values (${++n})`.pipe(
        Effect.zipRight(say(`acknowledged ${n}`)),
        Effect.zipRight(Effect.sleep("2 millis"))
      )
    )
  )
}).pipe(Effect.provide(DatabaseLayer.layer.pipe(Layer.provide(Settings.layer))))

const fiber = Effect.runFork(
  Effect.catchAll(program, (error) =>
    Effect.sync(() => {
      process.stderr.write(`${error.message}\n`)
      process.exitCode = 1
    })
  )
)
process.once("SIGTERM", () => fiber.unsafeInterruptAsFork(fiber.id()))
