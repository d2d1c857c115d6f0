import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Supervised from "../actor/Supervised.ts"
import { sweepMax } from "./SessionRows.ts"
import { Sessions } from "./Sessions.ts"

/** Between two sweeps; a sweep that found as much as it may take is followed by the next at once. */
export const sweepEvery = Duration.minutes(5)

/** Ends sessions that have expired and deletes what ended long ago. Any number of processes may run it. */
export const layer: Layer.Layer<never, never, Sessions> = Layer.scopedDiscard(
  Effect.flatMap(Sessions, ({ sweep }) =>
    Supervised.fork({
      name: "session sweep",
      effect: Effect.forever(
        Effect.zipRight(
          Effect.sleep(sweepEvery),
          Effect.repeat(sweep, { while: ({ deleted, expired }) => deleted >= sweepMax || expired >= sweepMax })
        )
      ),
      restart: { intensity: 5, window: "1 hour", backoff: { initial: "1 second", max: "1 minute" } }
    })
  )
)
