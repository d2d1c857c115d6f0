import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Fragment } from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import type { Avoided } from "./Matchmaker.ts"
import type { Entrant } from "./Pool.ts"
import { columns, fromRow, type Ticket, type TicketRow } from "./Ticket.ts"

/** Tickets that one statement reads or expires. */
export const rowsMax = 1_000

/** A ticket to be. `room` false: only say what is there already. */
export interface Draft extends Entrant {
  readonly clientKey: string
  readonly room: boolean
}

/** What became of a draft. `Raced`: another process was quicker; ask again. */
export type Joined =
  | { readonly _tag: "Made"; readonly avoid: ReadonlyArray<Avoided> }
  | { readonly _tag: "SameKey"; readonly ticket: Ticket }
  | { readonly _tag: "Waiting"; readonly ticketId: string }
  | { readonly _tag: "Busy"; readonly active: number }
  | { readonly _tag: "NoRoom" }
  | { readonly _tag: "NoUser" }
  | { readonly _tag: "Raced" }

/** A waiting ticket with those whom its owner must not meet. */
export interface Waiting {
  readonly entrant: Entrant
  readonly avoid: ReadonlyArray<Avoided>
}

interface JoinRow extends TicketRow {
  readonly inputId: string
  readonly made: boolean
  readonly exists: boolean
  readonly active: number
  readonly waitingId: string | null
  readonly avoid: string
}

type Read<A> = Effect.Effect<A, SqlError>

/**
 * That a ticket waits, said so that the planner does not think of the index of all who wait: where statistics are old
 * it believes that they are few and looks through them for one id.
 */
export const waits = (sql: SqlClient.SqlClient) => sql.literal("state + 0 = 0")

/** For `= any(…)`: an array that is known before the plan starts makes it look each id up, however many wait. */
const idArray = (sql: SqlClient.SqlClient, ids: ReadonlyArray<string>) =>
  sql`array(select value::uuid from jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb))`

/**
 * Whom the owner of `w` must not meet, of those who wait or whom `also` names: JSON text of [user, until in ms or null].
 * Blocks of either direction, those met since `recentPairs`, and those with whom an interaction is still going on.
 * Subqueries with a limit or an offset are looked up row by row. As joins they would be planned while the tables are
 * small, kept, and read whole tables for each batch when they have grown.
 */
const avoided = (sql: SqlClient.SqlClient, now: Date, recentMillis: number, also: Fragment) => sql`
coalesce((
  select json_agg(json_build_array(o.id, o.until))::text from (
    select b.blocked_id as id, null::float8 as until from blocks b where b.blocker_id = w.user_id
    union all
    select b.blocker_id, null from blocks b where b.blocked_id = w.user_id
    union all
    select q.user_id, extract(epoch from p.joined_at)::float8 * 1000 + ${recentMillis}::float8
    from participants p cross join lateral (
      select user_id from participants where interaction_id = p.interaction_id and user_id <> p.user_id offset 0
    ) q
    where p.user_id = w.user_id and p.joined_at > ${new Date(now.getTime() - recentMillis)}::timestamptz
    union all
    select q.user_id, null
    from participants p join interactions a on a.id = p.interaction_id and a.state = 0
    cross join lateral (
      select user_id from participants where interaction_id = p.interaction_id and user_id <> p.user_id offset 0
    ) q
    where p.user_id = w.user_id and p.left_at is null
  ) o where ${also} (select true from tickets x where x.user_id = o.id and x.state = 0 limit 1)
), '[]')`

const toAvoided = (text: string): ReadonlyArray<Avoided> =>
  (JSON.parse(text) as ReadonlyArray<readonly [string, number | null]>).map(([userId, until]) => ({
    userId,
    until: until ?? Number.POSITIVE_INFINITY
  }))

/**
 * Inserts those of the drafts that may wait, in one statement, and says of each what became of it. A person has at most
 * one waiting ticket; the same key gives the ticket that it made, in whatever state it is now.
 */
export const join = (
  sql: SqlClient.SqlClient,
  drafts: ReadonlyArray<Draft>,
  limits: { readonly now: Date; readonly recentMillis: number; readonly activeMax: number }
): Read<ReadonlyArray<Joined>> => {
  const input = JSON.stringify(
    drafts.map((draft) => ({
      id: draft.id,
      user_id: draft.userId,
      client_key: draft.clientKey,
      interests: draft.interests,
      languages: draft.languages,
      region: draft.region,
      created_at: new Date(draft.createdAt).toISOString(),
      room: draft.room
    }))
  )
  return Effect.map(
    sql<JoinRow>`
with w as materialized (
  select i.*, (select true from users u where u.id = i.user_id limit 1) is not null as known, (
      select count(a.id)::int from participants p join interactions a on a.id = p.interaction_id and a.state = 0
      where p.user_id = i.user_id and p.left_at is null
    ) as active, (
      select t.id from tickets t where t.user_id = i.user_id and t.client_key = i.client_key limit 1
    ) as same_id, (
      select t.id from tickets t where t.user_id = i.user_id and t.state = 0 limit 1
    ) as waiting_id
  from jsonb_to_recordset(${input}::text::jsonb) as i
    (id uuid, user_id uuid, client_key text, interests text[], languages text[], region text, created_at timestamptz,
     room boolean)
), made as (
  insert into tickets (id, user_id, client_key, interests, languages, region, created_at)
  select w.id, w.user_id, w.client_key, w.interests, w.languages, w.region, w.created_at
  from w
  where w.known and w.room and w.active < ${limits.activeMax}::int and w.same_id is null and w.waiting_id is null
  order by w.user_id
  on conflict do nothing
  returning id
)
select w.id as "inputId", made.id is not null as made, w.known as exists, w.active, w.waiting_id as "waitingId",
  ${columns(sql)},
  case when made.id is null then '[]'
    else ${avoided(sql, limits.now, limits.recentMillis, sql`o.id in (select user_id from w) or`)} end as avoid
from w
left join made on made.id = w.id
left join lateral (select * from tickets x where x.id = w.same_id limit 1) t on true`,
    (rows) => {
      const byId = new Map(rows.map((row) => [row.inputId, row]))
      return drafts.map((draft) => joined(draft, byId.get(draft.id)!, limits.activeMax))
    }
  )
}

const joined = (draft: Draft, row: JoinRow, activeMax: number): Joined => {
  if (row.made) return { _tag: "Made", avoid: toAvoided(row.avoid) }
  // The left join gives null where the key is new.
  if ((row.id as string | null) !== null) return { _tag: "SameKey", ticket: fromRow(row) }
  if (row.waitingId !== null) return { _tag: "Waiting", ticketId: row.waitingId }
  if (!row.exists) return { _tag: "NoUser" }
  if (row.active >= activeMax) return { _tag: "Busy", active: row.active }
  return draft.room ? { _tag: "Raced" } : { _tag: "NoRoom" }
}

/**
 * Cancels the waiting tickets of these people: ticket by person, of those who had one. Locks them in the order of their
 * ids, as claims do, so that neither waits for the other for ever.
 */
export const cancel = (
  sql: SqlClient.SqlClient,
  userIds: ReadonlyArray<string>,
  now: Date
): Read<ReadonlyMap<string, string>> =>
  Effect.map(
    sql<{ readonly id: string; readonly userId: string }>`
update tickets set state = 2, ended_at = ${now}::timestamptz
where id = any(array(
  select t.id from unnest(${idArray(sql, userIds)}) u (id)
  cross join lateral (select id from tickets where user_id = u.id and state = 0 limit 1) mine
  join tickets t on t.id = mine.id and t.state = 0
  order by t.id for no key update of t))
returning id, user_id as "userId"`,
    (rows) => new Map(rows.map((row) => [row.userId, row.id]))
  )

/** Expires waiting tickets made at that time or before, the oldest first, at most `rowsMax`. */
export const expire = (sql: SqlClient.SqlClient, madeUntil: Date, now: Date) =>
  sql<{ readonly id: string; readonly userId: string }>`
update tickets set state = 3, ended_at = ${now}::timestamptz
where id = any(array(
  select id from tickets where state = 0 and created_at <= ${madeUntil}::timestamptz
  order by created_at, id limit ${rowsMax} for no key update skip locked))
returning id, user_id as "userId"`

/** Those of the ids that still wait, the oldest first. */
export const load = (
  sql: SqlClient.SqlClient,
  ids: ReadonlyArray<string>,
  now: Date,
  recentMillis: number
): Read<ReadonlyArray<Waiting>> =>
  Effect.map(
    sql<TicketRow & { readonly avoid: string }>`
with w as materialized (select * from tickets where ${waits(sql)} and id = any(${idArray(sql, ids)}))
select ${columns(sql)}, ${avoided(sql, now, recentMillis, sql``)} as avoid
from w, lateral (select w.*) t
order by t.created_at, t.id`,
    (rows) =>
      rows.map((row) => ({
        entrant: {
          id: row.id,
          userId: row.userId,
          interests: row.interests,
          languages: row.languages,
          region: row.region,
          createdAt: row.createdAt.getTime()
        },
        avoid: toAvoided(row.avoid)
      }))
  )
