import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { idleReminder, InteractionActor } from "../interaction/InteractionActor.ts"
import type { Proposal } from "./Matchmaker.ts"
import { waits } from "./TicketTable.ts"

/** Pairs of one transaction at most. */
export const claimsMax = 256

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

/** What the statement says of one claim. A ticket is free when it waits and its owner is not banned. */
interface Verdict {
  readonly matchId: string
  readonly firstFree: boolean
  readonly secondFree: boolean
  readonly firstBanned: boolean
  readonly secondBanned: boolean
  readonly apart: boolean
  readonly firstAt: Date | null
  readonly secondAt: Date | null
}

export interface Limits {
  readonly now: Date
  readonly recentMillis: number
  /** An interaction in which nobody writes ends after so long. */
  readonly idleMillis: number
}

/**
 * Blocks are made under the same lock, exclusively: `blocks_await_claims` of the first migration. It is a statement of
 * its own because the next one sees what was committed when it began.
 */
const awaitBlocks = (sql: SqlClient.SqlClient) => sql`select pg_advisory_xact_lock_shared(7301, 1)`

const banned = (sql: SqlClient.SqlClient, now: Date) => sql`
  coalesce((
    select true from moderation_actions a
    where a.subject_id = t.user_id and a.kind = 'BAN' and a.revoked_at is null
      and a.starts_at <= ${now}::timestamptz and (a.expires_at is null or a.expires_at > ${now}::timestamptz)
    limit 1), false)`

/** Whether the two of `c` must not meet: a block either way, met since `recentMillis`, or still talking. */
const apart = (sql: SqlClient.SqlClient, { now, recentMillis }: Limits) => sql`
  coalesce(
    (select true from blocks where blocker_id = c.user_a and blocked_id = c.user_b limit 1),
    (select true from blocks where blocker_id = c.user_b and blocked_id = c.user_a limit 1),
    (select true from participants p
     join participants q on q.interaction_id = p.interaction_id and q.user_id = c.user_b
     where p.user_id = c.user_a and p.joined_at > ${new Date(now.getTime() - recentMillis)}::timestamptz limit 1),
    (select true from participants p
     join participants q on q.interaction_id = p.interaction_id and q.user_id = c.user_b
     join interactions i on i.id = p.interaction_id and i.state = 0
     where p.user_id = c.user_a and p.left_at is null limit 1),
    false)`

/**
 * Locks the tickets in the order of their ids, so that two processes cannot wait for each other; judges each claim; and
 * writes those that may be. Of two processes that claim one ticket the second finds that it waits no more.
 */
const judge = (sql: SqlClient.SqlClient, claims: ReadonlyArray<Claim>, limits: Limits) => {
  const { idleMillis, now } = limits
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
  return sql<Verdict>`
with c as materialized (
  select * from jsonb_to_recordset(${rows}::text::jsonb) as c
    (match_id uuid, interaction_id uuid, ticket_a uuid, ticket_b uuid, user_a uuid, user_b uuid, shared text[],
     level smallint, score float8)
), locked as materialized (
  select t.id, t.created_at, ${banned(sql, now)} as banned from tickets t
  where ${waits(sql)} and t.id = any(array(select ticket_a from c union all select ticket_b from c))
  order by t.id for no key update of t
), judged as materialized (
  select c.*, a.created_at as a_at, b.created_at as b_at,
    a.banned is false as a_free, b.banned is false as b_free, a.banned is true as a_banned, b.banned is true as b_banned,
    ${apart(sql, limits)} as apart
  from c left join locked a on a.id = c.ticket_a left join locked b on b.id = c.ticket_b
), won as materialized (
  select * from judged where a_free and b_free and not apart
), ticket as materialized (
  select ticket_a as id, match_id from won union all select ticket_b, match_id from won
), opened as (
  insert into interactions (id, started_at) select interaction_id, ${now}::timestamptz from won
), reminded as (
  insert into actor_reminders (actor, id, name, tag, payload, due_at)
  select ${InteractionActor.name}::text, interaction_id::text, ${idleReminder}::text, 'Expire', 'null'::jsonb,
    ${new Date(now.getTime() + idleMillis)}::timestamptz
  from won
), met as (
  insert into participants (interaction_id, user_id, joined_at)
  select interaction_id, user_a, ${now}::timestamptz from won
  union all select interaction_id, user_b, ${now}::timestamptz from won
), matched as (
  insert into matches (id, interaction_id, shared_interests, level, score, created_at)
  select match_id, interaction_id, shared, level, score, ${now}::timestamptz from won
), tied as (
  insert into match_tickets (ticket_id, match_id) select id, match_id from ticket
), ended as (
  update tickets t set state = 1, ended_at = ${now}::timestamptz where t.id = any(array(select id from ticket))
), cancelled as (
  update tickets t set state = 2, ended_at = ${now}::timestamptz
  where t.id = any(array(select id from locked where locked.banned))
)
select match_id as "matchId", a_free as "firstFree", b_free as "secondFree", a_banned as "firstBanned",
  b_banned as "secondBanned", apart, a_at as "firstAt", b_at as "secondAt"
from judged`
}

const outcome = ({ first, second }: Claim, verdict: Verdict, now: Date): Outcome => {
  const { firstFree, secondFree, firstAt, secondAt } = verdict
  const waited = (since: Date | null) => Math.max(0, now.getTime() - (since ?? now).getTime())
  if (firstFree && secondFree && !verdict.apart)
    return { _tag: "Matched", waitedMillis: [waited(firstAt), waited(secondAt)] }
  return {
    _tag: "Refused",
    waiting: [...(firstFree ? [first] : []), ...(secondFree ? [second] : [])],
    banned: [...(verdict.firstBanned ? [first] : []), ...(verdict.secondBanned ? [second] : [])]
  }
}

/**
 * Makes matches of the claims that the database allows, in one transaction, and says what became of each. The primary
 * key of `match_tickets` would refuse a second match of a ticket even if all else failed.
 */
export const settle = (
  sql: SqlClient.SqlClient,
  claims: ReadonlyArray<Claim>,
  limits: Limits
): Effect.Effect<ReadonlyArray<Outcome>, SqlError> =>
  sql.withTransaction(
    Effect.gen(function* () {
      yield* awaitBlocks(sql)
      const verdicts = new Map((yield* judge(sql, claims, limits)).map((verdict) => [verdict.matchId, verdict]))
      return claims.map((claim) => outcome(claim, verdicts.get(claim.matchId)!, limits.now))
    })
  )
