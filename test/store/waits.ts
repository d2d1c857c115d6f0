import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"

/** A request may wait this long on the store, whatever is wrong with it. */
export const waitMillisMax = 250

const tickMillis = 2
/** A tick that is later than this was not only a little late. */
const lateMillis = 10

const cpuMillis = (): number => {
  const { system, user } = process.cpuUsage()
  return (user + system) / 1_000
}

/**
 * What became of a call and how long it waited, milliseconds. A busy machine may not let this process run, and then
 * nobody could have answered sooner: that is not counted. It is told apart by a timer that is late though the process has
 * used no processor; code of ours that keeps the loop busy does use it, and counts.
 */
export const waited = <A, E>(
  call: Effect.Effect<A, E>
): Effect.Effect<{ readonly outcome: Either.Either<A, E>; readonly waitMillis: number }> =>
  Effect.suspend(() => {
    const began = performance.now()
    let [seen, cpu, stoodStill] = [began, cpuMillis(), 0]
    const look = () => {
      const [now, used] = [performance.now(), cpuMillis()]
      const late = now - seen - tickMillis - (used - cpu)
      if (late > lateMillis) stoodStill += late
      ;[seen, cpu] = [now, used]
    }
    const ticking = setInterval(look, tickMillis)
    return Effect.either(call).pipe(
      Effect.map((outcome) => {
        look()
        return { outcome, waitMillis: performance.now() - began - stoodStill }
      }),
      Effect.ensuring(Effect.sync(() => clearInterval(ticking)))
    )
  })
