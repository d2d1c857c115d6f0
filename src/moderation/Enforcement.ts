import * as Effect from "effect/Effect"
import { Broadcast } from "../broadcast/Broadcast.ts"
import type { InteractionId, UserId } from "../domain/Ids.ts"
import type { ConnectError } from "../errors.ts"
import { InteractionActor } from "../interaction/InteractionActor.ts"
import { Interactions } from "../interaction/Interactions.ts"
import { Queue } from "../queuing/Queue.ts"
import { type InboxSignal, inboxTopic } from "../queuing/Signal.ts"
import { Sessions } from "../session/Sessions.ts"
import { Presence } from "../user/Presence.ts"
import type { Action } from "./Action.ts"
import { Restrictions } from "./Restrictions.ts"

/** Interactions of a banned person that are ended at once. */
const endsAtOnce = 4

/**
 * What an action does to the running system, after it is written down. Everything here may be done again: a moderator
 * who repeats the call with its key finishes what a crash or a busy actor left undone.
 */
export const make = Effect.gen(function* () {
  const broadcast = yield* Broadcast
  const sessions = yield* Sessions
  const presence = yield* Presence
  const restrictions = yield* Restrictions
  const interactions = yield* Interactions
  const queue = yield* Queue
  const actors = yield* InteractionActor.client

  const tell = (action: Action) =>
    Effect.zipRight(
      restrictions.invalidate(action.subjectId),
      broadcast.publish(inboxTopic(action.subjectId), {
        _tag: "RestrictionPosted",
        actionId: action.id
      } satisfies InboxSignal)
    )

  const end = (id: InteractionId) =>
    Effect.catchTag(actors.ask(id).End({ reason: "MODERATED" }), "InteractionEnded", () => Effect.void)

  /** The inbox hears of it first: its socket closes with the sessions. */
  const ban = (userId: UserId) =>
    Effect.gen(function* () {
      yield* sessions.revokeAll(userId, "banned")
      yield* presence.leave(userId)
      yield* queue.leave(userId)
      yield* Effect.forEach(yield* interactions.active(userId), end, { concurrency: endsAtOnce, discard: true })
    })

  const change = (action: Action, state: "REMOVED" | "VISIBLE") =>
    action.interactionId === null || action.messageId === null
      ? Effect.void
      : actors.ask(action.interactionId).Change({ messageId: action.messageId, state })

  return (action: Action): Effect.Effect<void, ConnectError> => {
    switch (action.kind) {
      case "BAN":
        return Effect.zipRight(tell(action), ban(action.subjectId))
      case "REMOVE_MESSAGE":
        return Effect.asVoid(change(action, "REMOVED"))
      case "RESTORE_MESSAGE":
        return Effect.asVoid(change(action, "VISIBLE"))
      case "END_INTERACTION":
        return action.interactionId === null ? Effect.void : end(action.interactionId)
      default:
        return tell(action)
    }
  }
})
