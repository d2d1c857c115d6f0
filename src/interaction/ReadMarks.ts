import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { Broadcast } from "../broadcast/Broadcast.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { UserId } from "../domain/Ids.ts"
import type { DatabaseUnavailable } from "../errors.ts"
import { Overloaded } from "../errors.ts"
import type { EventSignal } from "./Event.ts"
import { topic } from "./Event.ts"

/** How long marks gather before they are written together. */
export const gatherFor = "20 millis"
/** Participants whose marks wait for the next write at most; beyond that `write` fails with Overloaded. */
export const marksWaitingMax = 10_000

/** How far someone has read. */
export interface Mark {
  readonly interactionId: string
  readonly userId: UserId
  readonly seq: number
}

/**
 * Writes how far people have read, many at once: of the marks of one person only the highest is written and shown to
 * the others. It never falls, whatever the order in which marks arrive.
 */
export class ReadMarks extends Context.Tag("@connect/ReadMarks")<
  ReadMarks,
  {
    /** Done when the mark, or a higher one, is stored. */
    readonly write: (mark: Mark) => Effect.Effect<void, Overloaded | DatabaseUnavailable>
  }
>() {}

interface Waiting {
  readonly marks: Map<string, Mark>
  readonly written: Deferred.Deferred<void, DatabaseUnavailable>
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const broadcast = yield* Broadcast
  const scope = yield* Effect.scope
  let open: Waiting | undefined

  const store = (marks: ReadonlyArray<Mark>) => {
    const rows = JSON.stringify(
      marks.map(({ interactionId, seq, userId }) => ({ i: interactionId, u: userId, s: seq }))
    )
    return orUnavailable(sql`
update participants p set last_read_seq = m.s
from jsonb_to_recordset(${rows}::text::jsonb) as m (i uuid, u uuid, s int)
where p.interaction_id = m.i and p.user_id = m.u and p.last_read_seq < m.s`)
  }

  const flush = (batch: Waiting) =>
    Effect.gen(function* () {
      open = undefined
      const marks = [...batch.marks.values()].sort((a, b) => (a.interactionId < b.interactionId ? -1 : 1))
      const exit = yield* Effect.exit(store(marks))
      yield* Deferred.done(batch.written, Exit.asVoid(exit))
      if (Exit.isFailure(exit)) return
      for (const { interactionId, seq, userId } of marks) {
        yield* broadcast.publish(topic(interactionId), { _tag: "ReadReceipt", userId, seq } satisfies EventSignal)
      }
    })

  /** The first mark of a batch starts the batch's fiber; when the scope closes, what has gathered is written at once. */
  const begin = Effect.gen(function* () {
    const batch: Waiting = { marks: new Map(), written: yield* Deferred.make<void, DatabaseUnavailable>() }
    open = batch
    yield* Effect.sleep(gatherFor).pipe(
      Effect.interruptible,
      Effect.exit,
      Effect.zipRight(flush(batch)),
      Effect.uninterruptible,
      Effect.forkIn(scope)
    )
    return batch
  })

  return ReadMarks.of({
    write: (mark) =>
      Effect.gen(function* () {
        const batch = open ?? (yield* begin)
        const key = `${mark.interactionId} ${mark.userId}`
        if (batch.marks.size >= marksWaitingMax && !batch.marks.has(key))
          return yield* new Overloaded({ retryAfterMillis: 100 })
        const before = batch.marks.get(key)
        if (before === undefined || before.seq < mark.seq) batch.marks.set(key, mark)
        yield* Effect.interruptible(Deferred.await(batch.written))
      }).pipe(Effect.uninterruptible)
  })
})

export const layer: Layer.Layer<ReadMarks, never, SqlClient.SqlClient | Broadcast> = Layer.scoped(ReadMarks, make)
