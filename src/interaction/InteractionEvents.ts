import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Broadcast, type Outlet, outlet, type Signal } from "../broadcast/Broadcast.ts"
import type { InteractionId, UserId } from "../domain/Ids.ts"
import type { DatabaseUnavailable, NotFound, ValidationFailed } from "../errors.ts"
import { invalid } from "../errors.ts"
import type { Feed, Taken, Wake } from "../graphql/Feed.ts"
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
  request: Request,
  wake: Wake
) => Effect.Effect<
  Feed<InteractionEvent, DatabaseUnavailable>,
  NotFound | ValidationFailed | DatabaseUnavailable,
  Scope.Scope
>

const isNumbered = (event: EventSignal): event is NumberedEvent =>
  event._tag !== "Typing" && event._tag !== "ReadReceipt"

type Events = ReadonlyArray<InteractionEvent>

type Read = (
  interactionId: InteractionId,
  afterSeq: number
) => Effect.Effect<ReadonlyArray<NumberedEvent>, DatabaseUnavailable>

/** Of one reader. */
class EventsFeed implements Feed<InteractionEvent, DatabaseUnavailable> {
  private readonly request: Request
  private readonly signals: Outlet<EventSignal>
  private readonly read: Read
  private position: number
  /** Whether there is something in the database that the reader has not been told. */
  private isBehind = true
  private isCaughtUp = false
  private isOver: boolean

  /** `isOver`: the interaction has ended, and there is nothing to wait for after the replay. */
  constructor(request: Request, signals: Outlet<EventSignal>, read: Read, isOver: boolean) {
    this.request = request
    this.signals = signals
    this.read = read
    this.position = request.afterSeq
    this.isOver = isOver
  }

  take(): Effect.Effect<Taken<InteractionEvent>, DatabaseUnavailable> {
    return Effect.suspend(() => (this.isBehind ? this.stored() : this.live()))
  }

  private stored(): Effect.Effect<Taken<InteractionEvent>, DatabaseUnavailable> {
    if (this.isCaughtUp) Metrics.eventRefills.unsafeUpdate(1, [])
    return Effect.map(this.read(this.request.interactionId, this.position), (page) =>
      this.taken(this.replayed(page), "again")
    )
  }

  private live(): Effect.Effect<Taken<InteractionEvent>> {
    return Effect.map(measure(this.heard(this.signals.drain())), (events) => this.taken(events, "wait"))
  }

  /** Stored events above the position: a full page has another behind it. */
  private replayed(page: ReadonlyArray<NumberedEvent>): Events {
    for (const event of page) this.advance(event)
    this.isBehind = page.length === replayPageMax
    if (this.isBehind || this.isCaughtUp) return page
    this.isCaughtUp = true
    return [...page, { _tag: "CaughtUp", seq: this.position }]
  }

  /** What of this is to be told at once. What is numbered and comes after a hole is left to the database. */
  private heard(signals: ReadonlyArray<Signal<EventSignal>>): Events {
    return signals.flatMap((signal): Events => {
      if (signal._tag === "Gap") this.isBehind = true
      else if (!isNumbered(signal.message)) return this.isOwnTyping(signal.message) ? [] : [signal.message]
      else if (signal.message.seq > this.position + 1) this.isBehind = true
      else if (signal.message.seq === this.position + 1 && !this.isBehind) return [this.advance(signal.message)]
      return []
    })
  }

  private taken(values: Events, otherwise: "again" | "wait"): Taken<InteractionEvent> {
    return { values, next: this.isBehind ? "again" : this.isOver ? "end" : otherwise }
  }

  private advance(event: NumberedEvent): NumberedEvent {
    this.position = event.seq
    if (event._tag === "InteractionEnded") this.isOver = true
    return event
  }

  private isOwnTyping(event: EphemeralEvent): boolean {
    return event._tag === "Typing" && event.userId === this.request.viewerId
  }
}

/** How long what is told live took since it was numbered. */
const measure = (events: Events): Effect.Effect<Events> =>
  Effect.clockWith((clock) =>
    Effect.sync(() => {
      const now = clock.unsafeCurrentTimeMillis()
      for (const event of events) {
        if ("at" in event) Metrics.deliverySeconds.unsafeUpdate(Math.max(0, now - Date.parse(event.at)) / 1_000, [])
      }
      return events
    })
  )

export const make: Effect.Effect<Subscribe, never, Interactions | Broadcast> = Effect.gen(function* () {
  const interactions = yield* Interactions
  const broadcast = yield* Broadcast

  const read: Read = (interactionId, afterSeq) =>
    Effect.retry(
      Effect.suspend(() => interactions.events(interactionId, afterSeq)),
      patience
    )

  return (request, wake) =>
    Effect.gen(function* () {
      const { afterSeq, interactionId, viewerId } = request
      if (afterSeq < 0) return yield* invalid("afterSeq", "is below 0")
      // Registered before the first read: what is committed after that read arrives here.
      const signals = yield* outlet<EventSignal>(broadcast, topic(interactionId), wake)
      const interaction = yield* interactions.find(interactionId, viewerId)
      if (afterSeq > interaction.lastSeq) return yield* invalid("afterSeq", "is above the newest event")
      return new EventsFeed(request, signals, read, interaction.state === "ENDED")
    })
})
