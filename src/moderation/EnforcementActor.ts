import * as Rpc from "@effect/rpc/Rpc"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Actor from "../actor/Actor.ts"
import { Broadcast } from "../broadcast/Broadcast.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { InteractionId, UserId } from "../domain/Ids.ts"
import {
  ActorCrashed,
  ActorStopped,
  AskTimeout,
  DatabaseUnavailable,
  InteractionEnded,
  MailboxFull,
  NotFound,
  Overloaded
} from "../errors.ts"
import { InteractionActor } from "../interaction/InteractionActor.ts"
import { Interactions } from "../interaction/Interactions.ts"
import { Queue } from "../queuing/Queue.ts"
import { type InboxSignal, inboxTopic } from "../queuing/Signal.ts"
import { Sessions } from "../session/Sessions.ts"
import { Presence } from "../user/Presence.ts"
import type { Action } from "./Action.ts"
import { type ActionRow, columns, fromRow } from "./ActionRow.ts"
import { isInForce, isLasting, Restrictions } from "./Restrictions.ts"

/** Interactions of a banned person that are ended at once. */
const endsAtOnce = 4

/** The reminder that has an action enforced although the process that wrote it was stopped before it could. */
export const enforceReminder = "enforce"

/**
 * What one moderation action does to the running system. Its id is the action's. Everything here may be done again, and
 * is, until it has all been done: the reminder that was written with the action goes only then.
 */
export const EnforcementActor = Actor.make("Enforcement", {
  protocol: [
    Rpc.make("Enforce", {
      error: Schema.Union(
        NotFound,
        InteractionEnded,
        Overloaded,
        DatabaseUnavailable,
        MailboxFull,
        ActorStopped,
        ActorCrashed,
        AskTimeout
      )
    }).annotate(Actor.Idempotent, true)
  ],
  reminders: ["Enforce"],
  group: "moderation",
  idle: "10 seconds"
})

const make = Effect.gen(function* () {
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
      : Effect.asVoid(actors.ask(action.interactionId).Change({ messageId: action.messageId, state }))

  return (action: Action) => {
    switch (action.kind) {
      case "BAN":
        return Effect.zipRight(tell(action), ban(action.subjectId))
      case "REMOVE_MESSAGE":
        return change(action, "REMOVED")
      case "RESTORE_MESSAGE":
        return change(action, "VISIBLE")
      case "END_INTERACTION":
        return action.interactionId === null ? Effect.void : end(action.interactionId)
      default:
        return tell(action)
    }
  }
})

/** Whether the action still is what should be: doing it again must not undo what was decided after it. */
const stands = (sql: SqlClient.SqlClient, action: Action) =>
  Effect.gen(function* () {
    if (isLasting(action.kind)) return isInForce(action, yield* Clock.currentTimeMillis)
    if (action.messageId === null) return true
    const later = yield* orUnavailable(sql`
      select 1 from moderation_actions
      where message_id = ${action.messageId}::uuid and kind in ('REMOVE_MESSAGE', 'RESTORE_MESSAGE')
        and (starts_at, id) > (${action.startsAt}::timestamptz, ${action.id}::uuid)
      limit 1`)
    return later.length === 0
  })

/** Serves enforcement from this process. */
export const layer = EnforcementActor.toLayer(({ id, reminders }) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const enforce = yield* make
    return EnforcementActor.of({
      Enforce: () =>
        Effect.gen(function* () {
          const [row] = yield* orUnavailable(
            sql<ActionRow>`select ${columns(sql)} from moderation_actions a where a.id = ${id}::uuid`
          )
          if (row === undefined) return yield* new NotFound({ what: "ModerationAction" })
          const action = fromRow(row)
          if (yield* stands(sql, action)) yield* enforce(action)
          yield* reminders.cancel(enforceReminder)
        })
    })
  })
)
