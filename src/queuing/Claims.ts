import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Proposal } from "./Matchmaker.ts"

/** Pairs of one transaction at most. */
export const claimsMax = 64

/** A proposal with the ids that its match will have. */
export interface Claim extends Proposal {
  readonly matchId: string
  readonly interactionId: string
}

/**
 * What the database says of a claim. `waiting` names those of the two tickets that still wait and may be matched with
 * somebody else; when that is both, the two are kept apart by a block, or have just met.
 */
export type Outcome =
  | { readonly _tag: "Matched"; readonly waitedMillis: readonly [number, number] }
  | { readonly _tag: "Refused"; readonly waiting: ReadonlyArray<string>; readonly banned: ReadonlyArray<string> }

interface Locked {
  readonly id: string
  readonly createdAt: Date
  readonly banned: boolean
}

export interface Limits {
  readonly now: Date
  readonly recentMillis: number
}

/** Blocks are made under the same lock, exclusively: `blocks_await_claims` of the first migration. */
const awaitBlocks = (sql: SqlClient.SqlClient) => sql`select pg_advisory_xact_lock_shared(7301, 1)`

/** Locks those of the tickets that wait, in the order of their ids so that two processes cannot wait for each other. */
const lock = (sql: SqlClient.SqlClient, claims: ReadonlyArray<Claim>, now: Date) => {
  const ids = JSON.stringify(claims.flatMap(({ first, second }) => [first, second]))
  return sql<Locked>`
select t.id, t.created_at as "createdAt", exists (
  select from moderation_actions a
  where a.subject_id = t.user_id and a.kind = 'BAN' and a.revoked_at is null
    and a.starts_at <= ${now}::timestamptz and (a.expires_at is null or a.expires_at > ${now}::timestamptz)) as banned
from tickets t
where t.state = 0 and t.id = any(array(select value::uuid from jsonb_array_elements_text(${ids}::text::jsonb)))
order by t.id for no key update of t`
}

/** The pairs that must not meet: a block either way, met since `recentMillis`, or still talking. By match id. */
const apart = (sql: SqlClient.SqlClient, claims: ReadonlyArray<Claim>, { now, recentMillis }: Limits) => {
  const pairs = JSON.stringify(claims.map(({ matchId, users: [a, b] }) => ({ match_id: matchId, a, b })))
  return sql<{ readonly id: string }>`
select c.match_id as id
from jsonb_to_recordset(${pairs}::text::jsonb) as c (match_id uuid, a uuid, b uuid)
where exists (select from blocks where blocker_id = c.a and blocked_id = c.b)
  or exists (select from blocks where blocker_id = c.b and blocked_id = c.a)
  or exists (
    select from participants p join participants q on q.interaction_id = p.interaction_id and q.user_id = c.b
    where p.user_id = c.a and p.joined_at > ${new Date(now.getTime() - recentMillis)}::timestamptz)
  or exists (
    select from participants p join participants q on q.interaction_id = p.interaction_id and q.user_id = c.b
    join interactions i on i.id = p.interaction_id and i.state = 0
    where p.user_id = c.a and p.left_at is null)`
}

const write = (sql: SqlClient.SqlClient, claims: ReadonlyArray<Claim>, now: Date) => {
  const rows = JSON.stringify(
    claims.map((claim) => ({
      match_id: claim.matchId,
      interaction_id: claim.interactionId,
      ticket_a: claim.first,
      ticket_b: claim.second,
      user_a: claim.users[0],
      user_b: claim.users[1],
      shared: claim.sharedInterests,
      level: claim.level,
      score: claim.score
    }))
  )
  return sql`
with c as materialized (
  select * from jsonb_to_recordset(${rows}::text::jsonb) as c
    (match_id uuid, interaction_id uuid, ticket_a uuid, ticket_b uuid, user_a uuid, user_b uuid, shared text[],
     level smallint, score float8)
), ticket as materialized (
  select ticket_a as id, match_id from c union all select ticket_b, match_id from c
), opened as (
  insert into interactions (id, started_at) select interaction_id, ${now}::timestamptz from c
), met as (
  insert into participants (interaction_id, user_id, joined_at)
  select interaction_id, user_a, ${now}::timestamptz from c
  union all select interaction_id, user_b, ${now}::timestamptz from c
), matched as (
  insert into matches (id, interaction_id, shared_interests, level, score, created_at)
  select match_id, interaction_id, shared, level, score, ${now}::timestamptz from c
), tied as (
  insert into match_tickets (ticket_id, match_id) select id, match_id from ticket
)
update tickets set state = 1, ended_at = ${now}::timestamptz where id = any(array(select id from ticket))`
}

const cancelBanned = (sql: SqlClient.SqlClient, ids: ReadonlyArray<string>, now: Date) =>
  sql`update tickets set state = 2, ended_at = ${now}::timestamptz
      where id = any(array(select value::uuid from jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb)))`

/**
 * Makes matches of the claims that the database allows, in one transaction, and says what became of each. Tickets are
 * locked, so of two processes that claim one ticket the second finds that it waits no more; the primary key of
 * `match_tickets` would refuse the second match if it did not.
 */
export const settle = (
  sql: SqlClient.SqlClient,
  claims: ReadonlyArray<Claim>,
  limits: Limits
): Effect.Effect<ReadonlyArray<Outcome>, SqlError> =>
  sql.withTransaction(
    Effect.gen(function* () {
      yield* awaitBlocks(sql)
      const locked = new Map((yield* lock(sql, claims, limits.now)).map((row) => [row.id, row]))
      const banned = [...locked.values()].filter((ticket) => ticket.banned).map(({ id }) => id)
      if (banned.length > 0) yield* cancelBanned(sql, banned, limits.now)
      const free = (id: string) => locked.get(id)?.banned === false
      const whole = claims.filter(({ first, second }) => free(first) && free(second))
      const refused = new Set(whole.length === 0 ? [] : (yield* apart(sql, whole, limits)).map(({ id }) => id))
      const won = whole.filter(({ matchId }) => !refused.has(matchId))
      if (won.length > 0) yield* write(sql, won, limits.now)
      const winners = new Set(won)
      const waited = (id: string) => Math.max(0, limits.now.getTime() - locked.get(id)!.createdAt.getTime())
      return claims.map((claim): Outcome => {
        const { first, second } = claim
        if (winners.has(claim)) return { _tag: "Matched", waitedMillis: [waited(first), waited(second)] }
        const both = [first, second]
        return { _tag: "Refused", waiting: both.filter(free), banned: both.filter((id) => banned.includes(id)) }
      })
    })
  )
