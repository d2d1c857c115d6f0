import { createHash } from "node:crypto"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { orUnavailable } from "../database/SqlErrors.ts"
import * as Ids from "../domain/Ids.ts"
import { connection, type Connection } from "../domain/Page.ts"
import type { DatabaseUnavailable, ValidationFailed } from "../errors.ts"
import { Cursor } from "../graphql/Cursor.ts"

/** What someone with a role did, to what. `target` is a global id; `details` hold no text of people's messages. */
export interface Deed {
  readonly actorId: Ids.UserId | null
  readonly verb: string
  readonly target: string
  readonly details: Readonly<Record<string, string | null>>
}

/** An entry of the log. */
export interface Entry extends Deed {
  readonly id: Ids.AuditEntryId
  readonly at: Date
  readonly hash: string
}

/** What `verify` found: the number of sound entries from the first, and the position of the first that is not. */
export interface Verification {
  readonly sound: number
  /** `changed`: this entry, or the one before it, is not as it was written. `missing`: entries at the end are gone. */
  readonly broken: Option.Option<{ readonly position: number; readonly what: "changed" | "missing" }>
}

/** Entries read at once by `verify`. */
export const verifyPageMax = 1_000

/**
 * The log of privileged deeds: append-only, each entry's hash over the one before, so that a change inside, a removal or
 * a cut at the end shows where it is.
 */
export class Audit extends Context.Tag("@connect/Audit")<
  Audit,
  {
    /**
     * Appends within the transaction of the deed itself: both or neither. Holds a lock until that ends, so it comes
     * last; the chain cannot fork. For a deed without one it has a transaction of its own.
     */
    readonly append: (deed: Deed) => Effect.Effect<void, SqlError>
    /** The newest first; of one target where given. */
    readonly page: (page: {
      readonly target: string | null
      readonly first: number
      readonly after: string | null
    }) => Effect.Effect<Connection<Entry>, ValidationFailed | DatabaseUnavailable>
    readonly byId: (id: Ids.AuditEntryId) => Effect.Effect<Option.Option<Entry>, DatabaseUnavailable>
    readonly verify: Effect.Effect<Verification, DatabaseUnavailable>
  }
>() {}

interface Row {
  readonly position: number
  readonly id: string
  readonly actorId: string | null
  readonly verb: string
  readonly target: string
  readonly details: Readonly<Record<string, string | null>> | string
  readonly at: Date
  readonly hash: string
}

/** The row of `settings` with the newest entry's hash: locked while appending, and what shows a cut at the end. */
const headKey = "audit_head"

const detailsOf = (row: Pick<Row, "details">): Readonly<Record<string, string | null>> =>
  typeof row.details === "string" ? JSON.parse(row.details) : row.details

/** The hash of an entry after `previous`; details in the order of their keys, as jsonb does not keep another. */
const link = (previous: string, row: Omit<Row, "position" | "hash">): string => {
  const details = Object.entries(detailsOf(row)).sort(([a], [b]) => (a < b ? -1 : 1))
  const text = JSON.stringify([row.id, row.actorId, row.verb, row.target, details, row.at.toISOString()])
  return createHash("sha256").update(previous).update(text).digest("hex")
}

const toEntry = (row: Row): Entry => ({
  id: row.id as Ids.AuditEntryId,
  actorId: row.actorId as Ids.UserId | null,
  verb: row.verb,
  target: row.target,
  details: detailsOf(row),
  at: row.at,
  hash: row.hash
})

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const cursor = yield* Cursor
  const columns = sql.literal(`position::int as position, id, actor_id as "actorId", verb, target, details, at, hash`)

  const append = (deed: Deed) =>
    Effect.gen(function* () {
      const id = yield* Ids.make(Ids.AuditEntryId)
      // Locks the row, whether it was there or not, and so reads it as the last append has left it.
      const heads = yield* sql<{ readonly value: string }>`
        insert into settings (key, value) values (${headKey}, '')
        on conflict (key) do update set value = settings.value returning value`
      // Read under the lock, so that the times of the chain do not run backwards on one node.
      const at = new Date(yield* Clock.currentTimeMillis)
      const hash = link(heads[0]!.value, { id, ...deed, at })
      yield* sql`
        with entry as (
          insert into audit_log (id, actor_id, verb, target, details, at, hash)
          values (${id}::uuid, ${deed.actorId}::uuid, ${deed.verb}, ${deed.target},
                  ${JSON.stringify(deed.details)}::text::jsonb, ${at}::timestamptz, ${hash})
        ) update settings set value = ${hash} where key = ${headKey}`
    }).pipe(sql.withTransaction)

  const page = Effect.fn("Audit.page")(function* (args: {
    readonly target: string | null
    readonly first: number
    readonly after: string | null
  }) {
    const bound = { target: args.target }
    const at = yield* cursor.decode<readonly [position: number]>("auditLog", bound, args.after)
    const before = Option.match(at, { onNone: () => null, onSome: ([position]) => position })
    const rows = yield* sql<Row>`
      select ${columns} from audit_log
      where (${args.target}::text is null or target = ${args.target}::text)
        and (${before}::bigint is null or audit_log.position < ${before}::bigint)
      order by audit_log.position desc
      limit ${args.first + 1}::int`.pipe(orUnavailable)
    const edges = rows.slice(0, args.first).map((row) => ({
      node: toEntry(row),
      cursor: cursor.encode("auditLog", bound, [row.position])
    }))
    return connection(edges, { hasNextPage: rows.length > args.first, hasPreviousPage: Option.isSome(at) })
  })

  const verifyFrom = (after: number, previous: string, sound: number): Effect.Effect<Verification, SqlError> =>
    Effect.gen(function* () {
      const rows = yield* sql<Row>`
        select ${columns} from audit_log where audit_log.position > ${after}::bigint
        order by audit_log.position limit ${verifyPageMax}::int`
      let hash = previous
      for (const [index, row] of rows.entries()) {
        if (link(hash, row) !== row.hash) {
          return { sound: sound + index, broken: Option.some({ position: row.position, what: "changed" }) }
        }
        hash = row.hash
      }
      const last = rows.at(-1)?.position ?? after
      if (rows.length === verifyPageMax) return yield* verifyFrom(last, hash, sound + rows.length)
      const heads = yield* sql<{ readonly value: string }>`select value from settings where key = ${headKey}`
      return {
        sound: sound + rows.length,
        broken: (heads[0]?.value ?? "") === hash ? Option.none() : Option.some({ position: last + 1, what: "missing" })
      }
    })

  return Audit.of({
    append,
    page,
    byId: (id) =>
      sql<Row>`select ${columns} from audit_log where id = ${id}::uuid`.pipe(
        Effect.map((rows) => Option.map(Option.fromNullable(rows[0]), toEntry)),
        orUnavailable
      ),
    // One snapshot, so that entries appended meanwhile are not taken for a cut.
    verify: orUnavailable(
      sql.withTransaction(
        Effect.zipRight(
          sql`set transaction isolation level repeatable read, read only`,
          Effect.suspend(() => verifyFrom(0, "", 0))
        )
      )
    )
  })
})

export const layer: Layer.Layer<Audit, never, SqlClient.SqlClient | Cursor> = Layer.effect(Audit, make)
