/**
 * The product's server with everything in the way of a request that the product has: sessions in Postgres behind their
 * cache, rate limits by address and by user, limits on documents, metrics, deadlines. Only the rows are those of the
 * bench, in memory, as they are for the peers. Says its URL, then the token of a session, then `ready`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Database from "../../layers/Database.ts"
import * as Environment from "../../layers/Environment.ts"
import * as Http from "../../layers/Http.ts"
import * as Telemetry from "../../layers/Telemetry.ts"
import * as Scheduler from "../../src/actor/Scheduler.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { rules } from "../../src/rate/RateLimiter.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import * as SqlClient from "@effect/sql/SqlClient"
import { part } from "./part.ts"
import { people } from "./rows.ts"

// The rules stay in force; only so many requests from one address and one user are no attack here.
for (const rule of [rules.ip, rules.user]) Object.assign(rule, { limit: 60_000_000, burst: 10_000_000 })

const token = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const sessions = yield* Sessions
  const [someone] = people
  yield* sql`insert into users (id, handle, display_name, created_at, updated_at)
    values (${someone!.id}, ${someone!.handle}, ${someone!.displayName}, now(), now()) on conflict do nothing`
  const made = yield* sessions.create(Ids.UserId.make(someone!.id), { userAgent: Option.none() })
  return made.token
})

const print = (line: string) => Effect.sync(() => void process.stdout.write(`${line}\n`))

const program = Effect.gen(function* () {
  const { url } = yield* Http.Address
  yield* print(url)
  yield* print(yield* token)
  return yield* Effect.never
})

const running = Effect.runFork(
  program.pipe(
    Effect.provide(
      Http.serve({ name: "bench", port: 0, parts: Effect.succeed([part]) }).pipe(
        Layer.provideMerge(Environment.layer([])),
        Layer.provideMerge(Database.layer),
        Layer.provideMerge(Telemetry.layerRuntime("bench")),
        Layer.provideMerge(Settings.layer),
        Layer.provideMerge(Scheduler.layer)
      )
    ),
    Effect.scoped
  )
)
running.addObserver((exit) => {
  if (exit._tag === "Failure") console.error(exit.cause.toString())
  process.exit(0)
})
process.once("SIGTERM", () => running.unsafeInterruptAsFork(running.id()))
