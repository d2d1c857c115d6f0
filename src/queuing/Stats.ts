import type * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as QueryCache from "../database/QueryCache.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { DatabaseUnavailable } from "../errors.ts"

/** What anyone may know of the queue. Waits are those of the newest matches; 0 where there were none of late. */
export interface Stats {
  readonly waiting: number
  readonly matchesPerMinute: number
  readonly waitMillisP50: number
  readonly waitMillisP95: number
}

/** The newest matches whose waits are looked at. */
export const matchesSampled = 500
/** Older ones say nothing about the queue of now. */
export const sampleMillis = 600_000
/** The figures of matches are read this often at most, however many watch. */
const recentTtl = "1 second"

const recent = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const [row] = yield* sql<{ readonly matches: number; readonly p50: number | null; readonly p95: number | null }>`
select
  (select count(*) from matches where created_at > ${new Date(now - 60_000)}::timestamptz)::int as matches,
  percentile_disc(0.5) within group (order by waited)::int as p50,
  percentile_disc(0.95) within group (order by waited)::int as p95
from (
  select extract(epoch from t.ended_at - t.created_at) * 1000 as waited
  from (
    select id from matches where created_at > ${new Date(now - sampleMillis)}::timestamptz
    order by created_at desc limit ${matchesSampled}
  ) m
  join match_tickets k on k.match_id = m.id join tickets t on t.id = k.ticket_id
) waits`
    return { matchesPerMinute: row?.matches ?? 0, waitMillisP50: row?.p50 ?? 0, waitMillisP95: row?.p95 ?? 0 }
  })

/** Reads the figures of all processes from the database. Everybody who watches the queue asks for the same. */
export const make = (
  sql: SqlClient.SqlClient
): Effect.Effect<Effect.Effect<Stats, DatabaseUnavailable>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const matches = yield* Effect.cachedWithTTL(recent(sql), recentTtl)
    const waiting = yield* Effect.flatMap(QueryCache.QueryCache, ({ keep }) =>
      keep({
        name: "waiting",
        tables: ["tickets"],
        schema: Schema.Int,
        ttl: "1 minute",
        statement: () =>
          Effect.map(
            sql<{ readonly waiting: number }>`select count(*)::int as waiting from tickets where state = 0`,
            ([row]) => row?.waiting ?? 0
          )
      })
    )
    return Effect.zipWith(waiting(), matches, (now, of) => ({ waiting: now, ...of })).pipe(orUnavailable)
  })
