import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Uuid from "../domain/Uuid.ts"
import { isUnavailable } from "../database/SqlErrors.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Claims from "./Claims.ts"
import { type Lobby, tellMatch, tellTicket } from "./Lobby.ts"

/** Pause before claims are tried again after the database was away; it doubles up to the second. */
export const pauseMillis = 100
export const pauseMillisMax = 5_000

const matched = (lobby: Lobby, claim: Claims.Claim, waitedMillis: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    lobby.remove(claim.first)
    lobby.remove(claim.second)
    Metrics.series(Metrics.matches, String(claim.level)).unsafeUpdate(1, [])
    for (const millis of waitedMillis) Metrics.matchWaitSeconds.unsafeUpdate(millis / 1_000, [])
    for (const userId of claim.users) yield* tellMatch(lobby, userId, claim.matchId)
  })

const refused = (lobby: Lobby, claim: Claims.Claim, outcome: Claims.Outcome & { readonly _tag: "Refused" }) =>
  Effect.gen(function* () {
    Metrics.claimsLost.unsafeUpdate(1, [])
    const { users, first, second } = claim
    if (outcome.waiting.length === 2) lobby.index.avoid(users[0], users[1], Number.POSITIVE_INFINITY)
    // First whoever is gone, so that those who go back are not matched with them again.
    for (const id of [first, second]) if (!outcome.waiting.includes(id)) lobby.remove(id)
    for (const id of outcome.waiting) lobby.index.giveBack(id)
    for (const id of outcome.banned) {
      Metrics.series(Metrics.queueLeft, "banned").unsafeUpdate(1, [])
      yield* tellTicket(lobby, id === first ? users[0] : users[1], id)
    }
  })

const apply = (lobby: Lobby, claims: ReadonlyArray<Claims.Claim>, outcomes: ReadonlyArray<Claims.Outcome>) =>
  Effect.gen(function* () {
    const gone: Array<string> = []
    for (const [at, claim] of claims.entries()) {
      const outcome = outcomes[at]!
      if (outcome._tag === "Matched") yield* matched(lobby, claim, outcome.waitedMillis)
      else yield* refused(lobby, claim, outcome)
      for (const id of [claim.first, claim.second]) if (!lobby.index.has(id)) gone.push(id)
    }
    lobby.stir()
    if (gone.length > 0) yield* lobby.tellOthers({ _tag: "TicketsGone", from: lobby.self, ticketIds: gone })
  })

/** Tells the owners of those of the tickets that have been matched: whether the first attempt committed is not known. */
const tellMatched = (lobby: Lobby, claims: ReadonlyArray<Claims.Claim>) => {
  const { sql } = lobby
  const ids = JSON.stringify(claims.flatMap(({ first, second }) => [first, second]))
  return Effect.flatMap(
    sql<{ readonly matchId: string; readonly userId: string }>`
select k.match_id as "matchId", t.user_id as "userId" from match_tickets k join tickets t on t.id = k.ticket_id
where k.ticket_id in (select value::uuid from jsonb_array_elements_text(${ids}::text::jsonb))`,
    (rows) => Effect.forEach(rows, ({ matchId, userId }) => tellMatch(lobby, userId, matchId), { discard: true })
  )
}

/** Settles the claims, however long the database is away. Pairs that it cannot take are kept apart and go back. */
const settle = (lobby: Lobby, claims: ReadonlyArray<Claims.Claim>, attempt = 0): Effect.Effect<void> =>
  Effect.gen(function* () {
    const now = new Date(yield* Clock.currentTimeMillis)
    const { idleMillis, recentMillis } = lobby.limits
    const outcomes = yield* Claims.settle(lobby.sql, claims, { now, recentMillis, idleMillis })
    if (attempt > 0) yield* tellMatched(lobby, claims)
    yield* apply(lobby, claims, outcomes)
  }).pipe(
    Effect.catchAll((error: SqlError) => {
      if (isUnavailable(error)) {
        const pause = Math.min(pauseMillisMax, pauseMillis * 2 ** Math.min(attempt, 16))
        return Effect.zipRight(
          Effect.zipRight(Effect.logWarning("Claims wait for the database", error), Effect.sleep(pause)),
          settle(lobby, claims, attempt + 1)
        )
      }
      if (claims.length > 1) return Effect.forEach(claims, (claim) => settle(lobby, [claim]), { discard: true })
      return Effect.zipRight(
        Effect.logError("The database refuses a match", error),
        apply(
          lobby,
          claims,
          claims.map(({ first, second }) => ({ _tag: "Refused", waiting: [first, second], banned: [] }))
        )
      )
    })
  )

/**
 * Claims what the index proposes: everything proposed while one transaction ran shares the next. Never ends. Started
 * again after a failure, it begins with the claims that it was at.
 */
export const make = (lobby: Lobby): Effect.Effect<never> => {
  let claims: ReadonlyArray<Claims.Claim> = []
  return Effect.forever(
    Effect.gen(function* () {
      if (claims.length === 0 && lobby.index.proposed === 0) yield* lobby.proposed.heard
      if (claims.length === 0) {
        claims = yield* Effect.forEach(lobby.index.take(Claims.claimsMax), (proposal) =>
          Effect.map(Effect.all([Uuid.v7, Uuid.v7]), ([matchId, interactionId]) => ({
            ...proposal,
            matchId,
            interactionId
          }))
        )
      }
      if (claims.length > 0) yield* settle(lobby, claims)
      claims = []
    })
  )
}
