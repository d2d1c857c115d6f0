import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Broadcast } from "../broadcast/Broadcast.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import { UserId } from "../domain/Ids.ts"
import { connection, type Connection } from "../domain/Page.ts"
import { Conflict, type DatabaseUnavailable, invalid, NotFound, type ValidationFailed } from "../errors.ts"
import { Cursor } from "../graphql/Cursor.ts"

/** People that one person can block; the 5,001st is refused. */
export const blocksMax = 5_000

/** Published on the Broadcast topic `queue` when a block is made. */
export interface Blocked {
  readonly _tag: "Blocked"
  readonly blockerId: UserId
  readonly blockedId: UserId
}

/** Published on the Broadcast topic `queue` when a block is taken back; another one may still stand between the two. */
export interface Unblocked {
  readonly _tag: "Unblocked"
  readonly blockerId: UserId
  readonly blockedId: UserId
}

/** Who wants nothing to do with whom. A block works both ways: neither is matched with the other. */
export class Blocks extends Context.Tag("@connect/Blocks")<
  Blocks,
  {
    /** True when the block is new. Oneself is refused; NotFound when there is no such person. */
    readonly block: (
      blocker: UserId,
      blocked: UserId
    ) => Effect.Effect<boolean, ValidationFailed | NotFound | Conflict | DatabaseUnavailable>
    /** True when there was a block. */
    readonly unblock: (blocker: UserId, blocked: UserId) => Effect.Effect<boolean, DatabaseUnavailable>
    /** Ids of those whom the person blocked, the newest first. */
    readonly page: (page: {
      readonly blocker: UserId
      readonly first: number
      readonly after: string | null
    }) => Effect.Effect<Connection<UserId>, ValidationFailed | DatabaseUnavailable>
    /** Whether either of the two blocked the other. */
    readonly isBlocked: (one: UserId, other: UserId) => Effect.Effect<boolean, DatabaseUnavailable>
  }
>() {}

/** Ids of those of `others` between whom and the person a block stands, either way. Nobody blocks nobody. */
export const standing = (sql: SqlClient.SqlClient, userId: UserId | null, others: ReadonlyArray<UserId>) =>
  sql<{ readonly id: string }>`
    select blocked_id as id from blocks where blocker_id = ${userId}::uuid and blocked_id = any(${others}::uuid[])
    union
    select blocker_id as id from blocks where blocked_id = ${userId}::uuid and blocker_id = any(${others}::uuid[])`

export const layer = Layer.effect(
  Blocks,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const broadcast = yield* Broadcast
    const cursor = yield* Cursor

    const isBlocked = (one: UserId, other: UserId) =>
      orUnavailable(Effect.map(standing(sql, one, [other]), (rows) => rows.length > 0))

    return {
      isBlocked,

      block: Effect.fn("Blocks.block")(function* (blocker, blocked) {
        if (blocker === blocked) return yield* invalid("userId", "is yourself")
        const now = new Date(yield* Clock.currentTimeMillis)
        const [found] = yield* sql<{ readonly exists: boolean; readonly count: number; readonly made: number }>`
          with made as (
            insert into blocks (blocker_id, blocked_id, created_at)
            select ${blocker}::uuid, users.id, ${now}::timestamptz from users
            where users.id = ${blocked}::uuid
              and (select count(*) from blocks where blocker_id = ${blocker}::uuid) < ${blocksMax}::int
            on conflict do nothing
            returning 1
          )
          select exists (select from users where id = ${blocked}::uuid) as "exists",
                 (select count(*) from blocks where blocker_id = ${blocker}::uuid)::int as count,
                 (select count(*) from made)::int as made`.pipe(orUnavailable)
        if (found === undefined || !found.exists) return yield* new NotFound({ what: "User" })
        if (found.made === 1) {
          yield* broadcast.publish("queue", {
            _tag: "Blocked",
            blockerId: blocker,
            blockedId: blocked
          } satisfies Blocked)
          return true
        }
        if (found.count >= blocksMax && !(yield* isBlocked(blocker, blocked))) {
          return yield* new Conflict({ message: `You have blocked ${blocksMax} people: unblock someone first` })
        }
        return false
      }),

      unblock: (blocker, blocked) =>
        sql`delete from blocks where blocker_id = ${blocker} and blocked_id = ${blocked} returning 1 as gone`.pipe(
          Effect.map((rows) => rows.length > 0),
          orUnavailable,
          Effect.tap((gone) =>
            gone
              ? broadcast.publish("queue", {
                  _tag: "Unblocked",
                  blockerId: blocker,
                  blockedId: blocked
                } satisfies Unblocked)
              : Effect.void
          )
        ),

      page: Effect.fn("Blocks.page")(function* ({ blocker, first, after }) {
        const args = { blocker }
        const at = yield* cursor.decode<readonly [millis: number, id: string]>("Viewer.blocked", args, after)
        const below = Option.match(at, {
          onNone: () => sql`true`,
          onSome: ([millis, id]) => sql`(created_at, blocked_id) < (${new Date(millis)}::timestamptz, ${id}::uuid)`
        })
        const rows = yield* sql<{ readonly id: string; readonly at: Date }>`
          select blocked_id as id, created_at as at from blocks
          where blocker_id = ${blocker} and ${below}
          order by created_at desc, blocked_id desc
          limit ${first + 1}`.pipe(orUnavailable)
        const edges = rows.slice(0, first).map((row) => ({
          node: UserId.make(row.id),
          cursor: cursor.encode("Viewer.blocked", args, [row.at.getTime(), row.id])
        }))
        return connection(edges, { hasNextPage: rows.length > first, hasPreviousPage: Option.isSome(at) })
      })
    }
  })
)
