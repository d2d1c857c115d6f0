import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { constVoid } from "effect/Function"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { rollback } from "./Boundary.ts"
import type { Run } from "./Call.ts"
import * as Query from "./Query.ts"

/** Rows that a stream reads in one go. */
export const streamRows = 256

const unprepared = (sql: string, params: ReadonlyArray<unknown> = []) => Query.wanted(sql, params, { prepare: false })

/** Cursors need names of their own where two streams read in one transaction. */
let cursors = 0

/** Reads through a cursor, so that a long result never stands in memory as a whole. For use inside a transaction. */
export const within =
  (run: Run): Connection["executeStream"] =>
  (sql, params) =>
    Stream.suspend(() => {
      const name = `connect_stream_${++cursors}`
      const declare = run(unprepared(`declare ${name} no scroll cursor for ${sql}`, params), constVoid)
      const pages = Stream.paginateChunkEffect(undefined, () =>
        run(unprepared(`fetch ${streamRows} from ${name}`), ({ rows }) => [
          Chunk.unsafeFromArray(rows),
          rows.length < streamRows ? Option.none() : Option.some(undefined)
        ])
      )
      return Stream.unwrap(Effect.as(declare, pages)).pipe(
        Stream.ensuring(Effect.ignore(run(unprepared(`close ${name}`), constVoid)))
      )
    })

/** The same outside of one, in a read-only transaction of its own. */
export const own =
  (reserve: Effect.Effect<Run, SqlError, Scope.Scope>): Connection["executeStream"] =>
  (sql, params) =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const run = yield* reserve
        yield* Effect.addFinalizer((exit) =>
          Effect.ignore(run(unprepared(Exit.isSuccess(exit) ? "COMMIT" : rollback), constVoid))
        )
        yield* run(unprepared("BEGIN READ ONLY"), constVoid)
        return within(run)(sql, params, undefined)
      })
    )
