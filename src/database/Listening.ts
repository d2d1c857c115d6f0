import type { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { Driver } from "./Driver.ts"

/**
 * What comes from a channel. `Gap`: it is heard from here on, and something may have been said before; read again what
 * you would have been told. It comes first, after each lost connection, and when more was said than was taken.
 */
export type Notice = { readonly _tag: "Gap" } | { readonly _tag: "Notified"; readonly payload: string }

/** Notices that one listener may be behind; what comes then is a `Gap`. */
export const noticesMax = 10_000

/** Streams that may listen at once: each has a connection of its own. One more is a defect. */
export const listenersMax = 16

/** Between two attempts to listen again: 50 ms at first, then longer, at most a second. */
const again = Schedule.exponential("50 millis").pipe(
  Schedule.union(Schedule.spaced("1 second")),
  Schedule.jittered,
  Schedule.resetAfter("5 seconds")
)

const gap: Notice = { _tag: "Gap" }

/** Hears a channel until its connection is lost, which is a failure. */
const hear = ({ listen }: Driver, channel: string, heard: (notice: Notice) => void): Effect.Effect<never, SqlError> =>
  Effect.async((resume) => {
    const close = listen(channel, {
      began: () => heard(gap),
      notified: (payload) => heard({ _tag: "Notified", payload }),
      lost: (error) => resume(Effect.fail(error))
    })
    return Effect.sync(close)
  })

/** Listens to channels of the server, over and over. Not through a PgBouncer that pools transactions. */
export const make = (driver: Driver): ((channel: string) => Stream.Stream<Notice>) => {
  let listeners = 0
  const place = Effect.acquireRelease(
    Effect.suspend(() =>
      listeners < listenersMax
        ? Effect.sync(() => listeners++)
        : Effect.dieMessage(`More than ${listenersMax} listeners on one database`)
    ),
    () => Effect.sync(() => listeners--)
  )
  return (channel) =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        yield* place
        const mailbox = yield* Mailbox.make<Notice>({ capacity: noticesMax, strategy: "dropping" })
        let missed = false
        const heard = (notice: Notice) => {
          missed = !mailbox.unsafeOffer(notice) || missed
        }
        yield* hear(driver, channel, heard).pipe(
          Effect.tapError((error) => Effect.logWarning("Listening to the database was cut off", error.message)),
          Effect.retry(again),
          Effect.forkScoped
        )
        return Stream.mapChunks(Mailbox.toStream(mailbox), (notices) => {
          if (!missed) return notices
          missed = false
          return Chunk.append(notices, gap)
        })
      })
    )
}
