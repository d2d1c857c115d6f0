import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import { Reminders } from "../actor/Reminders.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import * as Ids from "../domain/Ids.ts"
import type { InteractionId, MessageId, ModerationActionId, ReportId, UserId } from "../domain/Ids.ts"
import {
  Conflict,
  type ConnectError,
  type DatabaseUnavailable,
  Forbidden,
  invalid,
  NotFound,
  ValidationFailed
} from "../errors.ts"
import type { Role } from "../session/Sessions.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { toRole } from "../user/UserRow.ts"
import type { Action, Kind } from "./Action.ts"
import { type ActionRow, columns, fromRow } from "./ActionRow.ts"
import { Audit } from "./Audit.ts"
import { enforceReminder, EnforcementActor } from "./EnforcementActor.ts"
import { Reports } from "./Reports.ts"
import { isLasting, Restrictions } from "./Restrictions.ts"

/** What a moderator wants done. */
export interface Order {
  readonly actorId: UserId
  readonly subjectId: UserId
  readonly kind: Kind
  readonly reason: string
  readonly expiresAt: Date | null
  readonly messageId: MessageId | null
  readonly interactionId: InteractionId | null
  readonly reportId: ReportId | null
  readonly clientKey: string
}

/** What moderators do. Their role is read anew from the database each time. */
export class Actions extends Context.Tag("@connect/Actions")<
  Actions,
  {
    /**
     * Writes the action and its audit entry in one transaction, then has it enforced; if that fails here, a reminder
     * does it. The same key returns the first action and enforces it again; Conflict for the same key with another order. Forbidden without the role, and for a
     * moderator against an admin.
     */
    readonly moderate: (order: Order) => Effect.Effect<Action, ConnectError>
    /** Ends a lasting action now. One that was revoked before stays as it is. */
    readonly revoke: (
      id: ModerationActionId,
      actor: UserId,
      reason: string
    ) => Effect.Effect<Action, ValidationFailed | NotFound | Forbidden | DatabaseUnavailable>
    readonly byId: (id: ModerationActionId) => Effect.Effect<Option.Option<Action>, DatabaseUnavailable>
  }
>() {}

/** Time after which an action is enforced by its reminder, when whoever wrote it has not done so. */
const enforceAfter = "5 seconds"

/** What is wrong with the order itself. */
const issues = (
  order: Order,
  nowMillis: number
): ReadonlyArray<{ readonly path: string; readonly message: string }> => {
  const found: Array<{ readonly path: string; readonly message: string }> = []
  const wrong = (path: string, message: string) => found.push({ path: `input.${path}`, message })
  if (order.kind === "SHADOW_BAN") wrong("kind", "SHADOW_BAN is not available")
  if (order.subjectId === order.actorId) wrong("subjectId", "is yourself")
  if (order.expiresAt !== null && !isLasting(order.kind)) wrong("expiresAt", `does not go with ${order.kind}`)
  if (order.expiresAt !== null && order.expiresAt.getTime() <= nowMillis) wrong("expiresAt", "lies in the past")
  if (order.messageId === null && (order.kind === "REMOVE_MESSAGE" || order.kind === "RESTORE_MESSAGE"))
    wrong("messageId", `is missing: ${order.kind} needs it`)
  if (order.interactionId === null && order.kind === "END_INTERACTION")
    wrong("interactionId", "is missing: END_INTERACTION needs it")
  return found
}

const sameOrder = (action: Action, order: Order): boolean =>
  action.subjectId === order.subjectId &&
  action.kind === order.kind &&
  action.reason === order.reason &&
  action.messageId === order.messageId &&
  (order.interactionId === null || action.interactionId === order.interactionId) &&
  action.reportId === order.reportId &&
  action.expiresAt?.getTime() === order.expiresAt?.getTime()

/** Who may do what to whom, and whether what the order names exists. */
const makeChecks = (sql: SqlClient.SqlClient) => {
  /** Locks both rows against a change of role until the deed is written. */
  const rights = (actorId: UserId, subjectId: UserId) =>
    Effect.gen(function* () {
      const rows = yield* sql<{ readonly id: string; readonly role: number }>`
        select id, role from users where id = any(${[actorId, subjectId]}::uuid[]) order by id for share`
      const roleOf = (id: string): Role | undefined => {
        const row = rows.find((one) => one.id === id)
        return row && toRole(row.role)
      }
      const actor = roleOf(actorId)
      if (actor !== "MODERATOR" && actor !== "ADMIN") return yield* new Forbidden({ message: "Only for moderators" })
      const subject = roleOf(subjectId)
      if (subject === undefined) return yield* new NotFound({ what: "User" })
      if (subject === "ADMIN" && actor !== "ADMIN")
        return yield* new Forbidden({ message: "Moderators cannot act on admins" })
    })

  /** The interaction that the order is about, its message's where it names one. */
  const place = (order: Order) =>
    Effect.gen(function* () {
      let interactionId = order.interactionId
      if (order.messageId !== null) {
        const [message] = yield* sql<{ readonly interactionId: InteractionId; readonly senderId: string | null }>`
          select interaction_id as "interactionId", sender_id as "senderId" from messages
          where id = ${order.messageId}::uuid`
        if (message === undefined) return yield* new NotFound({ what: "Message" })
        if (message.senderId !== order.subjectId)
          return yield* invalid("input.messageId", "was not sent by that person")
        if (interactionId !== null && interactionId !== message.interactionId)
          return yield* invalid("input.interactionId", "is not the interaction of the message")
        interactionId = message.interactionId
      }
      if (interactionId === null) return null
      const rows = yield* sql`
        select 1 from participants
        where interaction_id = ${interactionId}::uuid and user_id = ${order.subjectId}::uuid`
      return rows.length > 0 ? interactionId : yield* new NotFound({ what: "Interaction" })
    })

  return { place, rights }
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const audit = yield* Audit
  const reports = yield* Reports
  const restrictions = yield* Restrictions
  const enforcement = yield* EnforcementActor.client
  const reminders = yield* Reminders
  const fields = columns(sql)
  const checks = makeChecks(sql)

  const byKey = (order: Order): Effect.Effect<Option.Option<Action>, SqlError | Conflict> =>
    Effect.flatMap(
      sql<ActionRow>`
        select ${fields} from moderation_actions a
        where a.actor_id = ${order.actorId}::uuid and a.client_key = ${order.clientKey}`,
      ([row]) =>
        row === undefined
          ? Effect.succeed(Option.none())
          : sameOrder(fromRow(row), order)
            ? Effect.succeed(Option.some(fromRow(row)))
            : Effect.fail(new Conflict({ message: "The clientKey was used for another action" }))
    )

  const closeReport = (order: Order) =>
    Effect.gen(function* () {
      if (order.reportId === null) return
      const report = yield* reports.action(order.reportId, order.actorId)
      if (report.subjectId !== order.subjectId) return yield* invalid("input.reportId", "is about someone else")
    })

  const write = (order: Order) =>
    Effect.gen(function* () {
      yield* checks.rights(order.actorId, order.subjectId)
      const known = yield* byKey(order)
      if (Option.isSome(known)) return known.value
      const now = yield* Clock.currentTimeMillis
      const wrong = issues(order, now)
      if (wrong.length > 0) return yield* new ValidationFailed({ issues: wrong })
      const interactionId = yield* checks.place(order)
      const id = yield* Ids.make(Ids.ModerationActionId)
      const rows = yield* sql<ActionRow>`
        insert into moderation_actions as a (id, actor_id, subject_id, kind, reason, message_id, interaction_id,
                                             report_id, client_key, starts_at, expires_at)
        values (${id}::uuid, ${order.actorId}::uuid, ${order.subjectId}::uuid, ${order.kind}, ${order.reason},
                ${order.messageId}::uuid, ${interactionId}::uuid, ${order.reportId}::uuid, ${order.clientKey},
                ${new Date(now)}::timestamptz, ${order.expiresAt}::timestamptz)
        on conflict (actor_id, client_key) do nothing
        returning ${fields}`
      // Another call with this key was faster; it has committed, or the insert would still wait.
      if (rows[0] === undefined) return Option.getOrThrow(yield* byKey(order))
      // Written with the action, so that it is enforced even if this process stops before it could ask for it.
      yield* reminders.set(
        EnforcementActor.definition,
        id,
        enforceReminder,
        { after: enforceAfter },
        "Enforce",
        undefined
      )
      yield* closeReport(order)
      yield* audit.append({
        actorId: order.actorId,
        verb: `moderate.${order.kind.toLowerCase()}`,
        target: Ids.toGlobal("User", order.subjectId),
        details: {
          action: Ids.toGlobal("ModerationAction", id),
          reason: order.reason,
          expiresAt: order.expiresAt?.toISOString() ?? null,
          message: order.messageId && Ids.toGlobal("Message", order.messageId),
          interaction: interactionId && Ids.toGlobal("Interaction", interactionId),
          report: order.reportId && Ids.toGlobal("Report", order.reportId)
        }
      })
      yield* Metric.increment(Metrics.series(Metrics.moderationActions, order.kind.toLowerCase()))
      return fromRow(rows[0])
    })

  const byId = (id: ModerationActionId) =>
    Effect.map(
      orUnavailable(sql<ActionRow>`select ${fields} from moderation_actions a where a.id = ${id}::uuid`),
      ([row]) => Option.map(Option.fromNullable(row), fromRow)
    )

  const end = (id: ModerationActionId, actor: UserId, reason: string) =>
    Effect.gen(function* () {
      const [row] = yield* sql<ActionRow>`
        select ${fields} from moderation_actions a where a.id = ${id}::uuid for update`
      if (row === undefined) return yield* new NotFound({ what: "ModerationAction" })
      const action = fromRow(row)
      yield* checks.rights(actor, action.subjectId)
      if (action.subjectId === actor) return yield* new Forbidden({ message: "Nobody revokes an action on themselves" })
      if (!isLasting(action.kind)) return yield* invalid("id", `is a ${action.kind}, which cannot be revoked`)
      if (action.revokedAt !== null) return action
      const now = new Date(yield* Clock.currentTimeMillis)
      const rows = yield* sql<ActionRow>`
        update moderation_actions a set revoked_at = ${now}::timestamptz where a.id = ${id}::uuid returning ${fields}`
      yield* audit.append({
        actorId: actor,
        verb: "moderate.revoke",
        target: Ids.toGlobal("User", action.subjectId),
        details: { action: Ids.toGlobal("ModerationAction", id), reason }
      })
      return fromRow(rows[0]!)
    })

  return Actions.of({
    byId,
    moderate: Effect.fn("Actions.moderate")(function* (order) {
      const action = yield* orUnavailable(sql.withTransaction(write(order)))
      yield* enforcement.ask(action.id).Enforce()
      return action
    }),
    revoke: Effect.fn("Actions.revoke")(function* (id, actor, reason) {
      const action = yield* orUnavailable(sql.withTransaction(end(id, actor, reason)))
      yield* restrictions.invalidate(action.subjectId)
      return action
    })
  })
})

export const layer = Layer.effect(Actions, make)
