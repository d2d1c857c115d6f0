import * as Schema from "effect/Schema"
import * as Levels from "./Levels.ts"
import { noRegion, waiting } from "./Pool.ts"
import type { Pool } from "./Pool.ts"

/**
 * The rules in the order in which they are asked. `apart`: blocked, just met, or a claim of the two has failed;
 * `interests` and `region`: nothing in common where the level wants it; `ownLevel`: this ticket has not widened that
 * far yet; `partnerLevel`: the other has not.
 */
export const rules = ["apart", "language", "interests", "region", "ownLevel", "partnerLevel"] as const
export type Rule = (typeof rules)[number]

/** Why a ticket waits. */
export const Explanation = Schema.Struct({
  ticketId: Schema.String,
  level: Schema.Int,
  waitedMillis: Schema.Number,
  /** Time until it widens; null at the last level. */
  widensInMillis: Schema.NullOr(Schema.Number),
  others: Schema.Int,
  levels: Schema.Array(
    Schema.Struct({
      level: Schema.Int,
      /** Others that pass every rule of the level; those of a reached level are about to be matched. */
      candidates: Schema.Int,
      /** The rest, counted by the first rule that each of them fails. */
      failing: Schema.Record({ key: Schema.String, value: Schema.Int })
    })
  )
})
export type Explanation = typeof Explanation.Type

export const explain = (pool: Pool, slot: number, now: number, dueAt: number): Explanation => {
  const others = [...pool.byId.values()].filter((other) => other !== slot && pool.state[other] === waiting)
  return {
    ticketId: pool.ids[slot]!,
    level: pool.level[slot]!,
    waitedMillis: Math.max(0, now - pool.createdAt[slot]!),
    widensInMillis: dueAt === Number.POSITIVE_INFINITY ? null : Math.max(0, dueAt - now),
    others: others.length,
    levels: Levels.levels.map((level) => {
      const failing: Partial<Record<Rule, number>> = {}
      let candidates = 0
      for (const other of others) {
        const rule = firstFailing(pool, slot, other, level, now)
        if (rule === undefined) candidates++
        else failing[rule] = (failing[rule] ?? 0) + 1
      }
      return { level, candidates, failing }
    })
  }
}

const firstFailing = (pool: Pool, a: number, b: number, level: Levels.Level, now: number): Rule | undefined => {
  if (pool.users[a] === pool.users[b] || pool.avoidance.forbids(a, b, now)) return "apart"
  const languages = new Set(pool.languagesOf(a))
  if (!pool.languagesOf(b).some((language) => languages.has(language))) return "language"
  const interests = new Set<number>()
  pool.eachInterest(a, (interest) => interests.add(interest))
  let shared = false
  pool.eachInterest(b, (interest) => {
    shared ||= interests.has(interest)
  })
  if (level <= 1 && !shared) return "interests"
  const meet = pool.region[a] === pool.region[b] || pool.region[a] === noRegion || pool.region[b] === noRegion
  if ((level === 0 || level === 2) && !meet) return "region"
  if (pool.level[a]! < level) return "ownLevel"
  if (pool.level[b]! < level) return "partnerLevel"
  return undefined
}
