import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as Actor from "../actor/Actor.ts"
import { Message, MessageState } from "../communication/Message.ts"
import * as Ids from "../domain/Ids.ts"
import { Settings } from "../config/Settings.ts"
import { Conflict, DatabaseUnavailable, InteractionEnded, NotFound, Overloaded, ValidationFailed } from "../errors.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { EndReason } from "./Interaction.ts"
import * as Room from "./Room.ts"

const Failures = Schema.Union(NotFound, InteractionEnded, Overloaded, DatabaseUnavailable)

/**
 * One interaction: the one place that numbers its events. Its id is the interaction's UUID. Who is no participant gets
 * NotFound. Replies come after the commit; the next message starts meanwhile.
 */
export const InteractionActor = Actor.make("Interaction", {
  protocol: [
    /** The stored message; the first one again for the same key and body, Conflict for another body. */
    Rpc.make("Send", {
      payload: {
        userId: Ids.UserId,
        clientKey: Schema.String,
        body: Schema.String,
        state: Schema.Literal("VISIBLE", "HELD")
      },
      success: Message,
      error: Schema.Union(Failures, Conflict)
    }).annotate(Actor.Idempotent, true),
    /** Moderation removes, releases or restores a message, after the end too. */
    Rpc.make("Change", {
      payload: { messageId: Ids.MessageId, state: MessageState },
      success: Message,
      error: Failures
    }).annotate(Actor.Idempotent, true),
    /** A participant leaves, and so the interaction ends (LEFT). Leaving what has ended changes nothing. */
    Rpc.make("Leave", { payload: { userId: Ids.UserId }, error: Failures }).annotate(Actor.Idempotent, true),
    /** Ends it for both. Ending what has ended changes nothing. */
    Rpc.make("End", { payload: { reason: EndReason }, error: Failures }).annotate(Actor.Idempotent, true),
    /** Ends it (TIMEOUT) if nobody has written for long enough; otherwise it is due again when that may be so. */
    Rpc.make("Expire", { error: Failures }),
    Rpc.make("Typing", { payload: { userId: Ids.UserId, typing: Schema.Boolean }, error: Failures }).annotate(
      Actor.Idempotent,
      true
    ),
    /** ValidationFailed for a number above the newest event. A lower mark than before changes nothing. */
    Rpc.make("MarkRead", {
      payload: { userId: Ids.UserId, seq: Schema.Int },
      error: Schema.Union(Failures, ValidationFailed)
    }).annotate(Actor.Idempotent, true)
  ],
  reminders: ["Expire"],
  group: "interaction",
  mailbox: { capacity: 256 }
})

/** The reminder `Expire` of each interaction that goes on. It is set by the statement that makes the interaction. */
export const idleReminder = "idle"

/** Serves interactions from this process. */
export const layer = InteractionActor.toLayer(({ id, reminders }) =>
  Effect.gen(function* () {
    const { interaction } = yield* Settings
    yield* Effect.acquireRelease(Metric.incrementBy(Metrics.interactionsActive, 1), () =>
      Metric.incrementBy(Metrics.interactionsActive, -1)
    )
    const room = yield* Room.make(id as Ids.InteractionId)
    return InteractionActor.of({
      Send: room.send,
      Change: room.change,
      Leave: ({ userId }) => room.leave(userId),
      End: ({ reason }) => room.end(reason),
      Expire: () =>
        Effect.flatMap(room.expire(interaction.idle), (outcome) =>
          outcome instanceof Date ? reminders.set(idleReminder, { at: outcome }).Expire() : Effect.succeed(outcome)
        ),
      Typing: ({ typing, userId }) => room.setTyping(userId, typing),
      MarkRead: ({ seq, userId }) => room.markRead(userId, seq)
    })
  })
)
