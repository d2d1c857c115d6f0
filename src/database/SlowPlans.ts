import type * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { slowQueriesKept } from "./Database.ts"
import { scrubbed } from "./Fingerprint.ts"
import * as Plans from "./Plans.ts"

/** Plans asked for in a minute at most: a database that is slow is not asked more than that. */
export const plansPerMinuteMax = 6

/** Statements that wait for their plan at most; the oldest gives way. */
export const plansWaitingMax = 16

/** A slow statement whose plan is wanted. */
interface Wanted {
  readonly fingerprint: string
  readonly text: string
}

/** The plans of slow statements, one for each fingerprint, asked for in the background. */
export interface SlowPlans {
  readonly planOf: (fingerprint: string) => string | null
  /** Asks for the plan unless it is known or wanted already. */
  readonly want: (fingerprint: string, text: string) => void
  /** Serves what is wanted, one after the other, for ever. */
  readonly serve: (sql: SqlClient.SqlClient) => Effect.Effect<never>
}

export const make: Effect.Effect<SlowPlans> = Effect.gen(function* () {
  const wanted = yield* Queue.sliding<Wanted>(plansWaitingMax)
  /** By fingerprint; null while it is asked for, or when the server would not say. */
  const plans = new Map<string, string | null>()
  /** When the newest plans were asked for, `plansPerMinuteMax` of them. */
  const begun: Array<number> = []

  const plan = (sql: SqlClient.SqlClient, { fingerprint, text }: Wanted) =>
    Effect.gen(function* () {
      const found = scrubbed(yield* Plans.textOf(sql, text))
      plans.set(fingerprint, found)
      yield* Effect.annotateLogs(Effect.logWarning("Plan of a slow query"), { fingerprint, plan: found })
    }).pipe(
      Effect.timeout("2 seconds"),
      Effect.catchAll((error) =>
        Effect.annotateLogs(Effect.logDebug("No plan of a slow query"), { fingerprint, error: error.message })
      )
    )

  return {
    planOf: (fingerprint) => plans.get(fingerprint) ?? null,
    want: (fingerprint, text) => {
      if (plans.has(fingerprint) || !Plans.isPlannable(text)) return
      for (const oldest of plans.keys()) {
        if (plans.size < slowQueriesKept) break
        plans.delete(oldest)
      }
      plans.set(fingerprint, null)
      wanted.unsafeOffer({ fingerprint, text })
    },
    serve: (sql) =>
      Effect.gen(function* () {
        const next = yield* Queue.take(wanted)
        const now = yield* Clock.currentTimeMillis
        const earliest = begun.length < plansPerMinuteMax ? now : begun.shift()! + Duration.toMillis("1 minute")
        yield* Effect.sleep(Duration.millis(Math.max(0, earliest - now)))
        begun.push(yield* Clock.currentTimeMillis)
        yield* plan(sql, next)
      }).pipe(Effect.forever)
  }
})
