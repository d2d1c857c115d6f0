import type { SqlError } from "@effect/sql/SqlError"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SessionId, UserId } from "../domain/Ids.ts"
import { type EndReason, type Role, Session } from "./Session.ts"
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
}

const toSession = (row: Row): Session =>
  Session.make({
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
  readonly idle: Duration.Duration
  readonly absolute: Duration.Duration
}

const after = (now: Date, ...durations: ReadonlyArray<Duration.Duration>): Date =>
  new Date(now.getTime() + Math.min(...durations.map(Duration.toMillis)))

interface New {
  readonly id: SessionId
  readonly userId: UserId
  readonly hash: string
  readonly userAgent: Option.Option<string>
  readonly now: Date
}

type Sql = SqlClient.SqlClient

/**
 * The user's row is locked first, so that of many sign-ins at once each sees the sessions of those before it: there are
 * never more than `perUserMax`, whatever the schedule.
 */
export const insert = (sql: Sql, limits: Limits, made: New) =>
  sql.withTransaction(
    Effect.gen(function* () {
      const { hash, id, now, userAgent, userId } = made
      const [user] = yield* sql<{ role: number }>`select role from users where id = ${userId} for update`
      if (user === undefined) return yield* Effect.dieMessage(`Session for a user that does not exist: ${userId}`)
      const expires = after(now, limits.idle, limits.absolute)
      const agent = Option.getOrNull(userAgent)
      const ended = yield* sql<EndedRow>`
        with made as (
          insert into sessions
            (id, user_id, token_hash, created_at, last_used_at, expires_at, absolute_expires_at, user_agent)
          values (${id}::uuid, ${userId}::uuid, ${Token.bytes(hash)}, ${now}, ${now}, ${expires},
            ${after(now, limits.absolute)}, ${agent})
        )
        update sessions set ended_at = ${now}, end_reason = 'limit'
        where id in (
          select id from sessions
          where user_id = ${userId}::uuid and ended_at is null and expires_at > ${now}
          order by last_used_at desc, id desc offset ${limits.perUserMax - 1}
        )
        returning id, user_id, token_hash, created_at`
      const row = { id, user_id: userId, role: user.role, created_at: now, last_used_at: now, user_agent: agent }
      return { session: toSession({ ...row, expires_at: expires }), ended }
    })
  )

/** The live session of a token's hash, renewed in the same statement when that is due. */
export const find = (
  sql: Sql,
  limits: Limits,
  hash: string,
  now: Date
): Effect.Effect<Option.Option<Session>, SqlError> =>
  Effect.map(
    sql<Row>`
      with found as (
        select s.id, s.user_id, u.role, s.created_at, s.last_used_at, s.expires_at, s.user_agent
        from sessions s join users u on u.id = s.user_id
        where s.token_hash = ${Token.bytes(hash)} and s.ended_at is null and s.expires_at > ${now}
      ), renewed as (
        update sessions s
        set last_used_at = ${now}, expires_at = least(${after(now, limits.idle)}::timestamptz, s.absolute_expires_at)
        from found
        where s.id = found.id and s.ended_at is null
          and s.last_used_at < ${new Date(now.getTime() - Duration.toMillis(renewAfter))}
        returning s.id, s.last_used_at, s.expires_at
      )
      select f.id, f.user_id, f.role, f.created_at, f.user_agent,
        coalesce(r.last_used_at, f.last_used_at) as last_used_at, coalesce(r.expires_at, f.expires_at) as expires_at
      from found f left join renewed r on r.id = f.id`,
    ([row]) => Option.map(Option.fromNullable(row), toSession)
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
  returning id, user_id, token_hash, created_at`

/** Takes the same lock as `insert`: a sign-in that began before is ended too. */
export const endAll = (sql: Sql, userId: UserId, reason: EndReason, except: SessionId | undefined, now: Date) =>
  sql.withTransaction(
    Effect.zipRight(
      sql`select 1 from users where id = ${userId}::uuid for update`,
      sql<EndedRow>`
        update sessions set ended_at = ${now}, end_reason = ${reason}
        where user_id = ${userId}::uuid and ended_at is null and id is distinct from ${except ?? null}::uuid
        returning id, user_id, token_hash, created_at`
    )
  )

/** Of these sessions the ones that are over, with the reason; one whose user is gone was erased. */
export const over = (sql: Sql, ids: ReadonlyArray<string>) => sql<{ id: string; end_reason: EndReason }>`
  select asked.id, coalesce(s.end_reason, 'erased') as end_reason
  from unnest(${ids}::uuid[]) as asked (id) left join sessions s on s.id = asked.id
  where s.id is null or s.ended_at is not null`

export const endExpired = (sql: Sql, now: Date) => sql<EndedRow>`
  update sessions set ended_at = expires_at, end_reason = 'expired'
  where id in (select id from sessions where ended_at is null and expires_at <= ${now} limit ${sweepMax})
  returning id, user_id, token_hash, created_at`

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
