import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { DriverStatement, Run } from "./Driver.ts"
import { encode } from "./Parameters.ts"

/** Rows that a stream reads in one go. */
export const streamRows = 256

const unprepared = (sql: string, params: ReadonlyArray<unknown> = []): DriverStatement => ({
  sql,
  params: params.map(encode),
  arrays: false,
  prepare: false
})

/** Cursors need names of their own where two streams read in one transaction. */
let cursors = 0

/** Reads through a cursor, so that a long result never stands in memory as a whole. For use inside a transaction. */
export const within =
  (run: Run): Connection["executeStream"] =>
  (sql, params) =>
    Stream.suspend(() => {
      const name = `connect_stream_${++cursors}`
      const declare = run(unprepared(`declare ${name} no scroll cursor for ${sql}`, params))
      const pages = Stream.paginateChunkEffect(undefined, () =>
        Effect.map(run(unprepared(`fetch ${streamRows} from ${name}`)), ({ rows }) => [
          Chunk.unsafeFromArray(rows),
          rows.length < streamRows ? Option.none() : Option.some(undefined)
        ])
      )
      return Stream.unwrap(Effect.as(declare, pages)).pipe(
        Stream.ensuring(Effect.ignore(run(unprepared(`close ${name}`))))
      )
    })

/** The same outside of one, in a read-only transaction of its own. */
export const own =
  (reserve: Effect.Effect<Run, SqlError, Scope.Scope>): Connection["executeStream"] =>
  (sql, params) =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const run = yield* reserve
        yield* Effect.acquireRelease(run(unprepared("BEGIN READ ONLY")), (_, exit) =>
          Effect.ignore(run(unprepared(Exit.isSuccess(exit) ? "COMMIT" : "ROLLBACK")))
        )
        return within(run)(sql, params, undefined)
      })
    )
