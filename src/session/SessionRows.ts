import type { SqlError } from "@effect/sql/SqlError"
import type * as SqlClient from "@effect/sql/SqlClient"
import type * as Statement from "@effect/sql/Statement"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { SessionId, UserId } from "../domain/Ids.ts"
import type { EndReason, Role, Session } from "./Session.ts"
import * as Token from "./Token.ts"

/**
 * A look-up in the database renews a session that was last used longer ago than this. The caches send a session in use
 * there about once a minute, so this is also about how often its row is written.
 */
export const renewAfter = Duration.seconds(30)

/** Ended sessions are kept this long, for the user's list of what happened and for analytics. */
export const endedKept = Duration.days(30)

/** Rows that one sweep ends or deletes at most; the next goes on. */
export const sweepMax = 1_000

const roles: ReadonlyArray<Role> = ["USER", "MODERATOR", "ADMIN"]

interface Row {
  readonly id: string
  readonly user_id: string
  readonly role: number
  readonly created_at: Date
  readonly last_used_at: Date
  readonly expires_at: Date
  readonly user_agent: string | null
}

/** A session that a statement has just ended. */
export interface EndedRow {
  readonly id: string
  readonly user_id: string
  readonly token_hash: Uint8Array
  readonly created_at: Date
  readonly ended_at: Date
}

/** Rows come from our own table, so they are not checked again. */
const toSession = (row: Row): Session => ({
  id: row.id as SessionId,
  userId: row.user_id as UserId,
  role: roles[row.role] ?? "USER",
  createdAt: new Date(row.created_at),
  lastUsedAt: new Date(row.last_used_at),
  expiresAt: new Date(row.expires_at),
  userAgent: row.user_agent
})

interface Limits {
  readonly perUserMax: number
  readonly atLimit: "end_oldest" | "refuse"
  readonly idle: Duration.Duration
  readonly absolute: Duration.Duration
}

const after = (now: Date, ...durations: ReadonlyArray<Duration.Duration>): Date =>
  new Date(now.getTime() + Math.min(...durations.map(Duration.toMillis)))

export interface New {
  readonly id: SessionId
  readonly userId: UserId
  readonly hash: string
  readonly userAgent: Option.Option<string>
  /** What ends as this one begins: one of the user's sessions, as `rotated`, or all of them, for this reason. */
  readonly replacing?: SessionId | { readonly all: EndReason } | undefined
  /** What the user's password was found right by, where one was asked for. */
  readonly passwordHash?: Redacted.Redacted | undefined
  readonly now: Date
}

type Sql = SqlClient.SqlClient

/** The ban that keeps a user out for longest. An SQL expression of one row at most: `expires_at`. */
const banOf = (sql: Sql, userId: Statement.Fragment, now: Date) => sql`
  select expires_at from moderation_actions
  where subject_id = ${userId} and kind = 'BAN' and revoked_at is null and (expires_at is null or expires_at > ${now})
  order by expires_at desc nulls first limit 1`

/** One row for each session that ended; one without an `id` when none did. */
interface Inserted extends EndedRow {
  readonly made: number
  readonly banned: number
  readonly banned_until: Date | null
  readonly end_reason: EndReason
}

/** What became of a sign-in. */
export type Outcome =
  | { readonly _tag: "Made"; readonly session: Session; readonly ended: ReadonlyArray<readonly [EndReason, EndedRow]> }
  | { readonly _tag: "Banned"; readonly until: Date | null }
  | { readonly _tag: "Full" }
  /** The password was another one when it was found right. */
  | { readonly _tag: "Outdated" }

/**
 * The user's row is locked first, so that of many sign-ins at once each sees the sessions of those before it, and what
 * ended all of them: there are never more than `perUserMax`, and none after a ban or by a password that has been
 * changed, whatever the schedule.
 */
export const insert = (sql: Sql, limits: Limits, made: New): Effect.Effect<Outcome, SqlError> =>
  sql.withTransaction(
    Effect.gen(function* () {
      const { hash, id, now, passwordHash, replacing, userAgent, userId } = made
      const [user] = yield* sql<{ role: number; password_hash: string | null }>`
        select role, password_hash from users where id = ${userId} for update`
      if (user === undefined) return yield* Effect.dieMessage(`Session for a user that does not exist: ${userId}`)
      if (passwordHash !== undefined && Redacted.value(passwordHash) !== user.password_hash) return { _tag: "Outdated" }
      const expires = after(now, limits.idle, limits.absolute)
      const agent = Option.getOrNull(userAgent)
      const all = typeof replacing === "object"
      const replaced = typeof replacing === "string" ? replacing : null
      const rows = yield* sql<Inserted>`
        with ban as (${banOf(sql, sql`${userId}::uuid`, now)}), live as (
          select id, row_number() over (order by last_used_at desc, id desc) as place from sessions
          where user_id = ${userId}::uuid and ended_at is null and expires_at > ${now}
            and id is distinct from ${replaced}::uuid and not ${all}::boolean
        ), made as (
          insert into sessions
            (id, user_id, token_hash, created_at, last_used_at, expires_at, absolute_expires_at, user_agent)
          select ${id}::uuid, ${userId}::uuid, ${Token.bytes(hash)}::bytea, ${now}::timestamptz, ${now}::timestamptz,
            ${expires}::timestamptz, ${after(now, limits.absolute)}::timestamptz, ${agent}::text
          where not exists (select 1 from ban)
            and (${limits.atLimit === "end_oldest"}::boolean or (select count(*) from live) < ${limits.perUserMax}::int)
          returning id
        ), ended as (
          update sessions s set ended_at = ${now},
            end_reason = case when ${all}::boolean then ${all ? replacing.all : null}::text
              when s.id = ${replaced}::uuid then 'rotated' else 'limit' end
          where exists (select 1 from made) and s.user_id = ${userId}::uuid and s.ended_at is null
            and (${all}::boolean or s.id = ${replaced}::uuid
              or s.id in (select id from live where place >= ${limits.perUserMax}::int))
          returning s.id, s.user_id, s.token_hash, s.created_at, s.ended_at, s.end_reason
        )
        select (select count(*) from made)::int as made, (select count(*) from ban)::int as banned,
          (select expires_at from ban) as banned_until, ended.*
        from (select) as always left join ended on true`
      const [first] = rows
      if (first!.banned > 0) return { _tag: "Banned", until: dateOrNull(first!.banned_until) }
      if (first!.made === 0) return { _tag: "Full" }
      const row = { id, user_id: userId, role: user.role, created_at: now, last_used_at: now, user_agent: agent }
      const ended = rows.filter((one) => one.id !== null).map((one) => [one.end_reason, one] as const)
      return { _tag: "Made", session: toSession({ ...row, expires_at: expires }), ended }
    })
  )

const dateOrNull = (date: Date | null): Date | null => (date === null ? null : new Date(date))

interface FoundRow extends Row {
  readonly hash: string
  readonly live: boolean
  readonly banned: boolean
  readonly banned_until: Date | null
}

/** What the database says of a token: a live session, or one that ended while a ban keeps its user out. */
export type Found =
  | { readonly _tag: "Live"; readonly session: Session }
  | { readonly _tag: "Banned"; readonly until: Date | null }

/**
 * By hash, what is known of the tokens; absent: unknown or over. Live sessions are renewed in the same statement when
 * that is due. One that is being ended just then is passed over: renewing never waits, and so never deadlocks.
 */
export const find = (
  sql: Sql,
  limits: Limits,
  hashes: ReadonlyArray<string>,
  now: Date
): Effect.Effect<ReadonlyMap<string, Found>, SqlError> =>
  Effect.map(
    sql<FoundRow>`
      with found as (
        select asked.hash, s.id, s.user_id, u.role, s.created_at, s.last_used_at, s.expires_at, s.user_agent,
          s.ended_at is null and s.expires_at > ${now} as live, s.end_reason
        from unnest(${hashes.map(Token.toHex)}::text[]) as asked (hash)
          join sessions s on s.token_hash = decode(asked.hash, 'hex')
          join users u on u.id = s.user_id
      ), due as (
        select id from sessions
        where id in (select id from found where live)
          and ended_at is null and last_used_at < ${new Date(now.getTime() - Duration.toMillis(renewAfter))}
        for no key update skip locked
      ), renewed as (
        update sessions s
        set last_used_at = ${now}, expires_at = least(${after(now, limits.idle)}::timestamptz, s.absolute_expires_at)
        from due where s.id = due.id
        returning s.id, s.last_used_at, s.expires_at
      )
      select f.hash, f.live, f.id, f.user_id, f.role, f.created_at, f.user_agent,
        coalesce(r.last_used_at, f.last_used_at) as last_used_at, coalesce(r.expires_at, f.expires_at) as expires_at,
        ban.expires_at as banned_until, ban.there is not null as banned
      from found f left join renewed r on r.id = f.id
        left join lateral (select true as there, b.* from (${banOf(sql, sql`f.user_id`, now)}) b) ban
          on f.end_reason = 'banned'
      where f.live or ban.there`,
    (rows) =>
      new Map(
        rows.map((row): readonly [string, Found] => [
          Token.fromHex(row.hash),
          row.live ? { _tag: "Live", session: toSession(row) } : { _tag: "Banned", until: dateOrNull(row.banned_until) }
        ])
      )
  )

export const list = (sql: Sql, userId: UserId, now: Date) =>
  Effect.map(
    sql<Row>`
      select s.id, s.user_id, u.role, s.created_at, s.last_used_at, s.expires_at, s.user_agent
      from sessions s join users u on u.id = s.user_id
      where s.user_id = ${userId}::uuid and s.ended_at is null and s.expires_at > ${now}
      order by s.last_used_at desc, s.id desc`,
    (rows) => rows.map(toSession)
  )

export const endOne = (sql: Sql, userId: UserId, sessionId: SessionId, reason: EndReason, now: Date) => sql<EndedRow>`
  update sessions set ended_at = ${now}, end_reason = ${reason}
  where id = ${sessionId}::uuid and user_id = ${userId}::uuid and ended_at is null and expires_at > ${now}
  returning id, user_id, token_hash, created_at, ended_at`

/** Takes the same lock as `insert`: a sign-in that began before is ended too. */
export const endAll = (sql: Sql, userId: UserId, reason: EndReason, except: SessionId | undefined, now: Date) =>
  sql.withTransaction(
    Effect.zipRight(
      sql`select 1 from users where id = ${userId}::uuid for update`,
      sql<EndedRow>`
        update sessions set ended_at = ${now}, end_reason = ${reason}
        where user_id = ${userId}::uuid and ended_at is null and id is distinct from ${except ?? null}::uuid
        returning id, user_id, token_hash, created_at, ended_at`
    )
  )

/**
 * `insert` in one transaction with `change`, which must write the user's row: then no sign-in comes between. Without a
 * new session nothing is changed and none ends.
 */
export const insertWith = <E>(
  sql: Sql,
  limits: Limits,
  change: Effect.Effect<void, E>,
  made: New
): Effect.Effect<Outcome, E | SqlError> =>
  sql
    .withTransaction(
      Effect.zipRight(
        change,
        Effect.filterOrFail(
          insert(sql, limits, made),
          ({ _tag }) => _tag === "Made",
          (outcome) => new Undone({ outcome })
        )
      )
    )
    .pipe(
      Effect.catchIf(
        (error): error is Undone => error instanceof Undone,
        ({ outcome }) => Effect.succeed(outcome)
      )
    )

/** Rolls a transaction back that made no session. */
class Undone extends Data.Error<{ readonly outcome: Outcome }> {}

/**
 * Ends some of all sessions, a bounded number; those of `except` stay. One that somebody else is at is passed over, so
 * that whoever takes several never waits for another who does.
 */
export const endSome = (sql: Sql, reason: EndReason, except: UserId, now: Date) => sql<EndedRow>`
  update sessions set ended_at = ${now}, end_reason = ${reason}
  where id in (
    select id from sessions where ended_at is null and user_id <> ${except}::uuid order by id limit ${sweepMax}
    for update skip locked
  )
  returning id, user_id, token_hash, created_at, ended_at`

/** Some of the users who have a session that began by then and has not ended, a bounded number; not `except`. */
export const usersLeft = (sql: Sql, except: UserId, began: Date) =>
  Effect.map(
    sql<{ user_id: UserId }>`
      select distinct user_id from sessions
      where ended_at is null and user_id <> ${except}::uuid and created_at <= ${began} limit ${sweepMax}`,
    (rows) => rows.map((row) => row.user_id)
  )

/** Of these sessions the ones that are over, with the reason; one whose user is gone was erased. */
export const over = (sql: Sql, ids: ReadonlyArray<string>) => sql<{ id: string; end_reason: EndReason }>`
  select asked.id, coalesce(s.end_reason, 'erased') as end_reason
  from unnest(${ids}::uuid[]) as asked (id) left join sessions s on s.id = asked.id
  where s.id is null or s.ended_at is not null`

/** One that somebody else is at is left to the next sweep: it may be renewed, or another sweep ends it. */
export const endExpired = (sql: Sql, now: Date) => sql<EndedRow>`
  update sessions set ended_at = expires_at, end_reason = 'expired'
  where id in (
    select id from sessions where ended_at is null and expires_at <= ${now} limit ${sweepMax} for update skip locked
  )
  returning id, user_id, token_hash, created_at, ended_at`

export const deleteOld = (sql: Sql, now: Date) =>
  Effect.map(
    sql`
      delete from sessions where id in (
        select id from sessions where ended_at < ${new Date(now.getTime() - Duration.toMillis(endedKept))}
        limit ${sweepMax}
      ) returning id`,
    (rows) => rows.length
  )

export const countLive = (sql: Sql, now: Date) =>
  Effect.map(
    sql<{ active: number }>`
      select count(*)::int as active from sessions where ended_at is null and expires_at > ${now}`,
    ([row]) => row?.active ?? 0
  )
