import * as SqlClient from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"

/**
 * Milliseconds until a caller is free whose statement runs for 20 s, with as many of them running as there are
 * connections and one more waiting for its turn: of each the longer.
 */
export const interruptMillis = (poolMax: number): Effect.Effect<number, never, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const sleeping = sql`select pg_sleep(20)`
    const running = yield* Effect.replicateEffect(Effect.fork(sleeping), poolMax)
    yield* Effect.sleep("200 millis")
    const waiting = yield* Effect.fork(sleeping)
    yield* Effect.sleep("50 millis")
    const over = yield* Effect.forEach([waiting, ...running], Fiber.poll)
    if (over.some(Option.isSome)) return yield* Effect.dieMessage("A statement was over before it was interrupted")
    const [[queued], [taken]] = yield* Effect.all([
      Effect.timed(Fiber.interrupt(waiting)),
      Effect.timed(Fiber.interrupt(running[0]!))
    ])
    yield* Fiber.interruptAll(running)
    return Math.max(Duration.toMillis(queued), Duration.toMillis(taken))
  })
