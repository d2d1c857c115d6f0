import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Cache from "../cache/Cache.ts"
import { Settings } from "../config/Settings.ts"
import * as ReadBatcher from "../database/ReadBatcher.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { MatchId, TicketId } from "../domain/Ids.ts"
import type { DatabaseUnavailable } from "../errors.ts"
import { Match, matchColumns, matchFromRow, type MatchRow } from "./Ticket.ts"

/** Matches kept in this process. */
export const matchesNearMax = 10_000

type Read<A> = Effect.Effect<A, DatabaseUnavailable>

export interface Matches {
  /** Those of the ids that exist. From the match cache where `Settings.queuing.matchCache` is on. */
  readonly byIds: (ids: ReadonlyArray<MatchId>) => Read<ReadonlyMap<string, Match>>
  /** The matches of those of the tickets that have one, by ticket. */
  readonly byTickets: (ids: ReadonlyArray<TicketId>) => Read<ReadonlyMap<TicketId, Match>>
}

/** Matches never change, so what is cached of them is never old. Both people are shown theirs at the same moment. */
export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { queuing } = yield* Settings
  const idList = (ids: ReadonlyArray<string>) =>
    sql`(select value::uuid from jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb))`

  const reads = yield* ReadBatcher.make({
    name: "match",
    statement: (ids: ReadonlyArray<string>) =>
      orUnavailable(
        Effect.map(sql<MatchRow>`select ${matchColumns(sql)} from matches m where m.id in ${idList(ids)}`, (rows) =>
          rows.map(matchFromRow)
        )
      ),
    key: (match): string => match.id
  })
  const lookup = (ids: ReadonlyArray<MatchId>): Read<ReadonlyMap<string, Match>> => reads.loadMany(ids)

  const cache = yield* Cache.make({
    name: "match",
    key: (id: MatchId) => id,
    schema: Match,
    ttl: "1 hour",
    near: { entriesMax: matchesNearMax, ttl: "10 minutes" },
    lookupMany: lookup
  })

  const byIds = (ids: ReadonlyArray<MatchId>) => (queuing.matchCache ? cache.getMany(ids) : lookup(ids))

  return {
    byIds,
    byTickets: (ids) =>
      Effect.gen(function* () {
        const rows = yield* orUnavailable(
          sql<{ readonly ticketId: TicketId; readonly matchId: MatchId }>`
select ticket_id as "ticketId", match_id as "matchId" from match_tickets where ticket_id in ${idList(ids)}`
        )
        const found = yield* byIds(rows.map(({ matchId }) => matchId))
        return new Map(
          rows.flatMap(({ matchId, ticketId }) => {
            const match = found.get(matchId)
            return match === undefined ? [] : [[ticketId, match] as const]
          })
        )
      })
  } satisfies Matches
})
