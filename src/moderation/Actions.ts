import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
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
     * does it. The same key returns the first action and enforces it again; Conflict for the same key with another order.
     * Forbidden without the role, and for a moderator against an admin.
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

interface Roles {
  readonly actorRole: number | null
  readonly subjectRole: number | null
}

/** Who may do what to whom. */
const allowed = ({ actorRole, subjectRole }: Roles) =>
  Effect.gen(function* () {
    const actor = actorRole === null ? undefined : toRole(actorRole)
    if (actor !== "MODERATOR" && actor !== "ADMIN") return yield* new Forbidden({ message: "Only for moderators" })
    if (subjectRole === null) return yield* new NotFound({ what: "User" })
    if (toRole(subjectRole) === "ADMIN" && actor !== "ADMIN")
      return yield* new Forbidden({ message: "Moderators cannot act on admins" })
  })

/** A `with` query of both people, locked against a change of role until the deed is written. */
const people = (sql: SqlClient.SqlClient, actorId: UserId, subjectId: Statement.Fragment) => sql`
  people as (select id, role from users where id in (${actorId}::uuid, ${subjectId}) order by id for share)`

const roles = (sql: SqlClient.SqlClient, actorId: UserId, subjectId: Statement.Fragment) => sql`
  (select role from people where id = ${actorId}::uuid) as "actorRole",
  (select role from people where id = ${subjectId}) as "subjectRole"`

/** What the database knows of an order; the columns of an action are those of one with this key, or null. */
interface Facts extends Roles, Omit<ActionRow, "id"> {
  readonly id: string | null
  /** Of the message. */
  readonly placeId: InteractionId | null
  readonly senderId: string | null
  /** Whether the subject takes part in the interaction: the message's, or the named one. */
  readonly subjectIsIn: boolean
  /** Of the report, which this closes. */
  readonly reportedId: string | null
}

/** The interaction that the order is about, its message's where it names one. */
const placeOf = (order: Order, facts: Facts) =>
  Effect.gen(function* () {
    if (order.messageId !== null) {
      if (facts.placeId === null) return yield* new NotFound({ what: "Message" })
      if (facts.senderId !== order.subjectId) return yield* invalid("input.messageId", "was not sent by that person")
      if (order.interactionId !== null && order.interactionId !== facts.placeId)
        return yield* invalid("input.interactionId", "is not the interaction of the message")
    }
    const interactionId = facts.placeId ?? order.interactionId
    if (interactionId === null || facts.subjectIsIn) return interactionId
    return yield* new NotFound({ what: "Interaction" })
  })

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const audit = yield* Audit
  const reports = yield* Reports
  const restrictions = yield* Restrictions
  const enforcement = yield* EnforcementActor.client
  const reminders = yield* Reminders
  const fields = columns(sql)

  /** All that is to be known before an action is written, in one statement, which closes its report too. */
  const factsOf = (order: Order, now: number): Effect.Effect<Facts, SqlError> => {
    const { actorId, clientKey, interactionId, messageId, reportId } = order
    const subjectId = sql`${order.subjectId}::uuid`
    const closed = reportId === null ? sql`select null::uuid as "subjectId"` : reports.closing(reportId, actorId, now)
    return Effect.map(
      sql<Facts>`
        with ${people(sql, actorId, subjectId)}, closed as (${closed})
        select ${fields}, ${roles(sql, actorId, subjectId)}, m.interaction_id as "placeId", m.sender_id as "senderId",
          exists (select 1 from participants p where p.interaction_id = coalesce(m.interaction_id, ${interactionId}::uuid)
            and p.user_id = ${subjectId}) as "subjectIsIn",
          (select "subjectId" from closed) as "reportedId"
        from (select) as always
          left join messages m on m.id = ${messageId}::uuid
          left join moderation_actions a on a.actor_id = ${actorId}::uuid and a.client_key = ${clientKey}`,
      ([facts]) => facts!
    )
  }

  /** The action with the order's key. */
  const sameOne = (row: ActionRow, order: Order): Effect.Effect<Action, Conflict> =>
    sameOrder(fromRow(row), order)
      ? Effect.succeed(fromRow(row))
      : Effect.fail(new Conflict({ message: "The clientKey was used for another action" }))

  const write = (order: Order) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const facts = yield* factsOf(order, now)
      yield* allowed(facts)
      if (facts.id !== null) return yield* sameOne({ ...facts, id: facts.id }, order)
      const wrong = issues(order, now)
      if (wrong.length > 0) return yield* new ValidationFailed({ issues: wrong })
      const interactionId = yield* placeOf(order, facts)
      if (order.reportId !== null && facts.reportedId === null) return yield* reports.whyNot(order.reportId)
      if (order.reportId !== null && facts.reportedId !== order.subjectId)
        return yield* invalid("input.reportId", "is about someone else")
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
      if (rows[0] === undefined) {
        const others = yield* factsOf(order, now)
        return yield* sameOne({ ...others, id: others.id! }, order)
      }
      // Written with the action, so that it is enforced even if this process stops before it could ask for it.
      yield* reminders.set(
        EnforcementActor.definition,
        id,
        enforceReminder,
        { after: enforceAfter },
        "Enforce",
        undefined
      )
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
      const subjectId = sql`${action.subjectId}::uuid`
      const [known] = yield* sql<Roles>`with ${people(sql, actor, subjectId)} select ${roles(sql, actor, subjectId)}`
      yield* allowed(known!)
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
      const subject: { id?: UserId } = {}
      const ended = Effect.tap(end(id, actor, reason), ({ subjectId }) => void (subject.id = subjectId))
      // A transaction is over when its caller goes on, or goes away: whatever became of it, readers look after that.
      const forgotten = Effect.suspend(() =>
        subject.id === undefined ? Effect.void : restrictions.invalidate(subject.id)
      )
      return yield* Effect.ensuring(orUnavailable(sql.withTransaction(ended)), forgotten)
    })
  })
})

export const layer = Layer.effect(Actions, make)
