import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { orUnavailable, sqlState } from "../../database/SqlErrors.ts"

import { shardOf } from "../Shard.ts"
import type { Write } from "../States.ts"
import { ActivationOver } from "../local/Turns.ts"

/** A durable message as it is sent. */
export interface Sent {
  readonly actor: string
  readonly id: string
  /** Names this message for its actor: sending it again with the same key is the same message. */
  readonly key: string
  readonly tag: string
  readonly payload: unknown
  /** The version of the protocol that the payload is written in. */
  readonly schemaVersion: number
}

/** A message that is kept and not done. */
export interface Pending extends Sent {
  readonly position: number
  readonly attempts: number
}

/** What is known of a message that was sent before. */
export interface Known {
  readonly position: number
  /** 0 pending, 1 done, 2 quarantined. */
  readonly state: number
  readonly reply: unknown
  /** Whether tag and payload are those of now. */
  readonly same: boolean
}

/** A message that failed too often. It stays until somebody releases or drops it. */
export interface Quarantined {
  readonly position: number
  readonly actor: string
  readonly id: string
  readonly key: string
  readonly tag: string
  readonly payload: unknown
  readonly attempts: number
  readonly failure: string
  readonly acceptedAt: Date
}

/** The messages that a process works on: all of a type, or those of some shards. */
export interface Share {
  readonly actor: string
  readonly shards: ReadonlyArray<number> | null
}

export interface Done {
  readonly position: number
  readonly reply: unknown
}

/** Time a process has for what it accepted or took before another one may take it. */
export const lease = Duration.seconds(30)

/** Rows that one retention statement deletes. */
export const retentionBatch = 1_000

/** How the statement of `commit` undoes itself. */
const divisionByZero = "22012"

const orOver = <A>(effect: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
  Effect.catchIf(
    effect,
    (error) => sqlState(error) === divisionByZero,
    () => Effect.die(new ActivationOver())
  )

export const keyOf = ({ actor, id, key }: Pick<Sent, "actor" | "id" | "key">): string =>
  `${actor}\u0000${id}\u0000${key}`

export const make = Effect.map(SqlClient.SqlClient, (sql) => {
  const leased = Effect.map(Clock.currentTimeMillis, (now) => new Date(now + Duration.toMillis(lease)))

  const known = (rows: string) =>
    sql<Known & Pick<Sent, "actor" | "id" | "key">>`
      select m.actor, m.id, m.key, m.position::float8 as position, m.state, m.reply,
        m.schema_version <> w."schemaVersion" or (m.tag = w.tag and m.payload = coalesce(w.payload, 'null')) as same
      from actor_messages m join jsonb_to_recordset(${rows}::text::jsonb)
        as w (actor text, id text, key text, tag text, payload jsonb, "schemaVersion" int)
        on m.actor = w.actor and m.id = w.id and m.key = w.key`

  const written = (writes: ReadonlyArray<Write>, now: Date) => sql`
    update actor_states s
    set state = w.state, schema_version = w."schemaVersion", version = s.version + 1, updated_at = ${now}
    from jsonb_to_recordset(${JSON.stringify(writes)}::text::jsonb)
      as w (actor text, id text, owner uuid, "schemaVersion" int, state jsonb)
    where s.actor = w.actor and s.id = w.id and s.owner = w.owner
    returning 1`

  /** Fails the statement, and so undoes it, unless it changed that many rows. */
  const allOf = (states: number, messages: number) => sql`
    select 1 / case when (select count(*) from s) = ${states} and (select count(*) from m) = ${messages}
      then 1 else 0 end`

  /** The shares as a relation, for a condition on the messages `m`. */
  const shared = (shares: ReadonlyArray<Share>) => sql`
    exists (
      select 1 from jsonb_to_recordset(${JSON.stringify(shares)}::text::jsonb) as w (actor text, shards smallint[])
      where w.actor = m.actor and (w.shards is null or m.shard = any(w.shards))
    )`

  return {
    /**
     * Keeps the new ones; the position of each new one, or what is known of one that was sent before. This process works
     * on those that it `leases`, any other may take the rest.
     */
    accept: (messages: ReadonlyArray<Sent>, leases: (message: Sent) => boolean) =>
      Effect.gen(function* () {
        const first = new Map(messages.map((message) => [keyOf(message), message]).reverse() as Array<[string, Sent]>)
        const rows = JSON.stringify(
          Array.from(first.values(), (message) => ({
            ...message,
            shard: shardOf(message.id),
            leased: leases(message)
          })).reverse()
        )
        const now = new Date(yield* Clock.currentTimeMillis)
        const inserted = yield* sql<{ actor: string; id: string; key: string; position: number }>`
          insert into actor_messages (actor, id, key, tag, payload, schema_version, shard, leased_until, accepted_at)
          select w.actor, w.id, w.key, w.tag, coalesce(w.payload, 'null'), w."schemaVersion", w.shard,
            case when w.leased then ${yield* leased}::timestamptz else '-infinity' end, ${now}
          from jsonb_to_recordset(${rows}::text::jsonb) as w (actor text, id text, key text, tag text, payload jsonb,
            "schemaVersion" int, shard smallint, leased boolean)
          on conflict (actor, id, key) do nothing
          returning actor, id, key, position::float8 as position`
        const fresh = new Map(inserted.map((row) => [keyOf(row), row.position]))
        const again = messages.length > inserted.length ? yield* known(rows) : []
        const before = new Map(again.map((row) => [keyOf(row), row]))
        return messages.map((message): number | Known => {
          const position = fresh.get(keyOf(message))
          if (position === undefined || first.get(keyOf(message)) !== message) return before.get(keyOf(message))!
          return position
        })
      }).pipe(orUnavailable),

    /** Takes what nobody works on: left by a process that has gone, or due for another attempt. */
    take: (shares: ReadonlyArray<Share>, limit: number) =>
      Effect.gen(function* () {
        const now = new Date(yield* Clock.currentTimeMillis)
        return yield* sql<Pending>`
          update actor_messages m set leased_until = ${yield* leased}
          from (
            select position from actor_messages m
            where state = 0 and leased_until <= ${now} and ${shared(shares)}
            order by position limit ${limit} for update skip locked
          ) d where m.position = d.position
          returning m.position::float8 as position, m.actor, m.id, m.key, m.tag, m.payload,
            m.schema_version as "schemaVersion", m.attempts`
      }).pipe(
        orUnavailable,
        Effect.map((rows) => [...rows].sort((a, b) => a.position - b.position))
      ),

    /** Takes the leases from whoever had these shards before: nobody else works on them now. */
    free: (shares: ReadonlyArray<Share>) =>
      sql`
        update actor_messages m set leased_until = '-infinity'
        where state = 0 and leased_until > '-infinity' and ${shared(shares)}`.pipe(Effect.asVoid, orUnavailable),

    /**
     * Keeps the states and marks the messages done, in one statement that changes all or nothing. Dies with
     * ActivationOver when a state has another owner by now or a message was done by somebody else.
     */
    commit: (messages: ReadonlyArray<Done>, writes: ReadonlyArray<Write>) =>
      Effect.gen(function* () {
        const now = new Date(yield* Clock.currentTimeMillis)
        yield* sql`
          with s as (${written(writes, now)}), m as (
            update actor_messages m set state = 1, done_at = ${now}, reply = w.reply
            from jsonb_to_recordset(${JSON.stringify(messages)}::text::jsonb) as w (position bigint, reply jsonb)
            where m.position = w.position and m.state = 0
            returning 1
          ) ${allOf(writes.length, messages.length)}`
      }).pipe(orOver, orUnavailable),

    /** The same for messages that were not kept before: all of them are new, or nothing is done. */
    commitNew: (messages: ReadonlyArray<Sent & { readonly reply: unknown }>, writes: ReadonlyArray<Write>) =>
      Effect.gen(function* () {
        const now = new Date(yield* Clock.currentTimeMillis)
        yield* sql`
          with s as (${written(writes, now)}), m as (
            insert into actor_messages
              (actor, id, key, tag, payload, schema_version, reply, state, leased_until, accepted_at, done_at)
            select w.actor, w.id, w.key, w.tag, coalesce(w.payload, 'null'), w."schemaVersion", w.reply, 1, ${now}, ${now}, ${now}
            from jsonb_to_recordset(${JSON.stringify(messages)}::text::jsonb)
              as w (actor text, id text, key text, tag text, payload jsonb, "schemaVersion" int, reply jsonb)
            on conflict (actor, id, key) do nothing
            returning 1
          ) ${allOf(writes.length, messages.length)}`
      }).pipe(orOver, orUnavailable),

    /** Notes a failed attempt; the next is made after `pauseMillis`, or none when it is to be quarantined. */
    failed: (position: number, failure: string, pauseMillis: number, quarantine: boolean) =>
      Effect.gen(function* () {
        const until = new Date((yield* Clock.currentTimeMillis) + pauseMillis)
        yield* sql`
          update actor_messages set attempts = attempts + 1, failure = ${failure}, leased_until = ${until},
            state = ${quarantine ? 2 : 0} where position = ${position} and state = 0`
      }).pipe(orUnavailable),

    /** Lets others, or this process, take them after `pauseMillis`. */
    postpone: (positions: ReadonlyArray<number>, pauseMillis: number) =>
      Effect.gen(function* () {
        const until = new Date((yield* Clock.currentTimeMillis) + pauseMillis)
        yield* sql`
          update actor_messages set leased_until = ${until} where position = any(${positions}::bigint[]) and state = 0`
      }).pipe(orUnavailable),

    find: (position: number) =>
      sql<Known>`
        select position::float8 as position, state, reply, true as same from actor_messages
        where position = ${position}`.pipe(
        orUnavailable,
        Effect.map((rows) => rows[0])
      ),

    quarantined: (limit: number) =>
      sql<Quarantined>`
        select position::float8 as position, actor, id, key, tag, payload, attempts, failure,
          accepted_at as "acceptedAt"
        from actor_messages where state = 2 order by position limit ${limit}`.pipe(orUnavailable),

    /** Gives a quarantined message a clean record and another try. */
    release: (position: number) =>
      sql`
        update actor_messages set state = 0, attempts = 0, leased_until = '-infinity'
        where position = ${position} and state = 2 returning position`.pipe(
        orUnavailable,
        Effect.map((rows) => rows.length > 0)
      ),

    drop: (position: number) =>
      sql`delete from actor_messages where position = ${position} and state = 2 returning position`.pipe(
        orUnavailable,
        Effect.map((rows) => rows.length > 0)
      ),

    /** Seconds for which the oldest message of each type was due and not done; no row for a type without one. */
    ages: (shares: ReadonlyArray<Share>) =>
      Effect.gen(function* () {
        const now = new Date(yield* Clock.currentTimeMillis)
        return yield* sql<{ actor: string; seconds: number }>`
          select m.actor, greatest(0, extract(epoch from
            ${now}::timestamptz - min(case when m.attempts > 0 then m.leased_until else m.accepted_at end)))::float8 as seconds
          from actor_messages m where m.state = 0 and ${shared(shares)} group by m.actor`
      }).pipe(orUnavailable),

    /** Deletes some of what was done before; the result is how many rows. */
    forget: (before: Date) =>
      sql`
        delete from actor_messages where position in (
          select position from actor_messages where state = 1 and done_at < ${before} limit ${retentionBatch}
        ) returning position`.pipe(
        orUnavailable,
        Effect.map((rows) => rows.length)
      )
  }
})

export type InboxTable = Effect.Effect.Success<typeof make>
