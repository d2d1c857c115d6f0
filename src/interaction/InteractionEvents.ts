import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Broadcast, type Signal } from "../broadcast/Broadcast.ts"
import type { InteractionId, UserId } from "../domain/Ids.ts"
import type { DatabaseUnavailable, NotFound, ValidationFailed } from "../errors.ts"
import { invalid } from "../errors.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { EphemeralEvent, EventSignal, NumberedEvent } from "./Event.ts"
import { topic } from "./Event.ts"
import { Interactions, replayPageMax } from "./Interactions.ts"

/** Sent once after the replay. */
export interface CaughtUp {
  readonly _tag: "CaughtUp"
  readonly seq: number
}

export type InteractionEvent = NumberedEvent | EphemeralEvent | CaughtUp

/** A reader whose database is away waits for it this long before its stream fails with DatabaseUnavailable. */
const patience = Schedule.exponential("100 millis").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(6)))

export interface Request {
  readonly interactionId: InteractionId
  readonly viewerId: UserId
  readonly afterSeq: number
}

/**
 * The events of an interaction above `afterSeq`, then `CaughtUp`, then what happens: each numbered event once and in
 * order, whatever the broadcast loses, doubles or swaps. It ends after the interaction's end. NotFound for whoever takes
 * no part; ValidationFailed for an `afterSeq` that is not between 0 and the newest event.
 */
export type Subscribe = (
  request: Request
) => Effect.Effect<
  Stream.Stream<InteractionEvent, DatabaseUnavailable>,
  NotFound | ValidationFailed | DatabaseUnavailable,
  Scope.Scope
>

const isNumbered = (event: EventSignal): event is NumberedEvent =>
  event._tag !== "Typing" && event._tag !== "ReadReceipt"

const delivered = (event: NumberedEvent): Effect.Effect<NumberedEvent> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.as(Metric.update(Metrics.deliverySeconds, Math.max(0, now - Date.parse(event.at)) / 1_000), event)
  )

export const make: Effect.Effect<Subscribe, never, Interactions | Broadcast> = Effect.gen(function* () {
  const interactions = yield* Interactions
  const broadcast = yield* Broadcast

  return ({ afterSeq, interactionId, viewerId }) =>
    Effect.gen(function* () {
      if (afterSeq < 0) return yield* invalid("afterSeq", "is below 0")
      // Registered before the first read: what is committed after that read arrives here.
      const signals = yield* broadcast.subscribe<EventSignal>(topic(interactionId))
      const interaction = yield* interactions.find(interactionId, viewerId)
      if (afterSeq > interaction.lastSeq) return yield* invalid("afterSeq", "is above the newest event")

      let position = afterSeq
      const advance = (event: NumberedEvent): NumberedEvent => {
        position = event.seq
        return event
      }

      /** Everything stored above the position, page by page. */
      const stored: Stream.Stream<NumberedEvent, DatabaseUnavailable> = Stream.flattenIterables(
        Stream.takeUntil(
          Stream.repeatEffect(
            Effect.suspend(() => interactions.events(interactionId, position)).pipe(
              Effect.retry(patience),
              Effect.map((page) => page.map(advance))
            )
          ),
          (page) => page.length < replayPageMax
        )
      )

      const refill = Stream.concat(Stream.drain(Stream.fromEffect(Metric.increment(Metrics.eventRefills))), stored)

      const live = (signal: Signal<EventSignal>): Stream.Stream<InteractionEvent, DatabaseUnavailable> => {
        if (signal._tag === "Gap") return refill
        const event = signal.message
        if (!isNumbered(event)) {
          return event._tag === "Typing" && event.userId === viewerId ? Stream.empty : Stream.succeed(event)
        }
        if (event.seq <= position) return Stream.empty
        return event.seq === position + 1 ? Stream.fromEffect(delivered(advance(event))) : refill
      }

      const caughtUp = Stream.sync((): InteractionEvent => ({ _tag: "CaughtUp", seq: position }))
      // One that had ended before has been told in full with the replay.
      const following =
        interaction.state === "ENDED"
          ? Stream.empty
          : Stream.flatMap(signals, live).pipe(Stream.takeUntil(({ _tag }) => _tag === "InteractionEnded"))
      let ended = false
      const replay = Stream.tap(stored, ({ _tag }) => Effect.sync(() => (ended ||= _tag === "InteractionEnded")))
      return Stream.concat(
        Stream.concat<InteractionEvent, DatabaseUnavailable, never, InteractionEvent, never, never>(replay, caughtUp),
        Stream.suspend(() => (ended ? Stream.empty : following))
      )
    })
})
