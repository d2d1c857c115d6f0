import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"

/** Tickets are compared in groups of those made within this time. */
export const granuleMillis = 10_000

/** How many tickets a group has, and the exclusive or of the last 32 bits of their ids. */
export interface Sum {
  readonly count: number
  readonly mix: number
}

export const granuleOf = (createdAtMillis: number): number => Math.floor(createdAtMillis / granuleMillis)

const bits = (id: string): number => Number.parseInt(id.slice(-8), 16) | 0

/**
 * A summary of the waiting tickets that Postgres can make as well: where the two agree, the index holds what the
 * database holds, and the pass over the queue reads no tickets.
 */
export class Digest {
  private readonly sums = new Map<number, Sum>()

  add(id: string, createdAtMillis: number): void {
    this.change(id, createdAtMillis, 1)
  }

  remove(id: string, createdAtMillis: number): void {
    this.change(id, createdAtMillis, -1)
  }

  /** The groups that are not the same there and here. */
  differing(other: ReadonlyMap<number, Sum>): ReadonlyArray<number> {
    return [...new Set([...this.sums.keys(), ...other.keys()])].filter((granule) => {
      const [mine, theirs] = [this.sums.get(granule), other.get(granule)]
      return mine?.count !== theirs?.count || mine?.mix !== theirs?.mix
    })
  }

  private change(id: string, createdAtMillis: number, by: number): void {
    const granule = granuleOf(createdAtMillis)
    const { count, mix } = this.sums.get(granule) ?? { count: 0, mix: 0 }
    if (count + by === 0) this.sums.delete(granule)
    else this.sums.set(granule, { count: count + by, mix: mix ^ bits(id) })
  }
}

const granule = (sql: SqlClient.SqlClient) =>
  sql`floor(extract(epoch from created_at) * 1000 / ${granuleMillis}::int)::bigint::int`

/** The summary of what waits in the database. */
export const ofDatabase = (sql: SqlClient.SqlClient): Effect.Effect<ReadonlyMap<number, Sum>, SqlError> =>
  Effect.map(
    sql<{ readonly granule: number; readonly count: number; readonly mix: number }>`
select ${granule(sql)} as granule, count(*)::int as count,
  bit_xor(('x' || right(id::text, 8))::bit(32)::int)::int as mix
from tickets where state = 0 group by 1`,
    (rows) => new Map(rows.map(({ granule, count, mix }) => [granule, { count, mix }]))
  )

/** The ids of what waits in those groups, the oldest first. */
export const idsIn = (sql: SqlClient.SqlClient, granules: ReadonlyArray<number>) =>
  Effect.map(
    sql<{ readonly id: string }>`
select id from tickets where state = 0 and ${granule(sql)} in (
  select value::int from jsonb_array_elements_text(${JSON.stringify(granules)}::text::jsonb))
order by created_at, id`,
    (rows) => rows.map(({ id }) => id)
  )
