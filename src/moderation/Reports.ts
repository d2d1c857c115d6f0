import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import { isUniqueViolation, orUnavailable } from "../database/SqlErrors.ts"
import * as Ids from "../domain/Ids.ts"
import type { InteractionId, MessageId, ReportId, UserId } from "../domain/Ids.ts"
import { connection, type Connection } from "../domain/Page.ts"
import { Conflict, Forbidden, type DatabaseUnavailable, invalid, NotFound, type ValidationFailed } from "../errors.ts"
import { Cursor } from "../graphql/Cursor.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Audit } from "./Audit.ts"
import { claimLease, priority, type Reason, type Report, type State, states } from "./Report.ts"
import { columns, fromRow, type ReportRow } from "./ReportRow.ts"

/** Messages up to the reported one that are kept as evidence. */
export const evidenceMessagesMax = 20

/** What someone reports. */
export interface Complaint {
  readonly reporterId: UserId
  readonly subjectId: UserId
  readonly messageId: MessageId | null
  readonly interactionId: InteractionId | null
  readonly reason: Reason
  readonly details: string | null
  readonly clientKey: string
}

/** Reports and who deals with them. */
export class Reports extends Context.Tag("@connect/Reports")<
  Reports,
  {
    /**
     * The stored report; the first one again for the same key. Conflict for the same key with other content, and for a
     * second report of the same while the first is open. NotFound for what the reporter takes no part in.
     */
    readonly make: (
      complaint: Complaint
    ) => Effect.Effect<Report, ValidationFailed | NotFound | Conflict | DatabaseUnavailable>
    readonly byId: (id: ReportId) => Effect.Effect<Option.Option<Report>, DatabaseUnavailable>
    /** The most urgent first, of equally urgent ones the oldest. */
    readonly queue: (page: {
      readonly state: State
      readonly first: number
      readonly after: string | null
    }) => Effect.Effect<Connection<Report>, ValidationFailed | DatabaseUnavailable>
    /** Takes the report for `claimLease`; of several who try one succeeds, the others get Conflict. */
    readonly claim: (
      id: ReportId,
      moderator: UserId
    ) => Effect.Effect<Report, NotFound | Conflict | Forbidden | DatabaseUnavailable>
    /** Closes the report without an action. Conflict when it is closed or someone else's. */
    readonly dismiss: (
      id: ReportId,
      moderator: UserId,
      reason: string
    ) => Effect.Effect<Report, NotFound | Conflict | Forbidden | DatabaseUnavailable>
    /** Closes the report because of an action, within the transaction of that. */
    readonly action: (id: ReportId, moderator: UserId) => Effect.Effect<Report, NotFound | Conflict | SqlError>
  }
>() {}

const sameComplaint = (report: Report, complaint: Complaint): boolean =>
  report.subjectId === complaint.subjectId &&
  report.messageId === complaint.messageId &&
  report.interactionId === complaint.interactionId &&
  report.reason === complaint.reason &&
  report.details === complaint.details

/** Whom and what a complaint is about, as far as its reporter may know of it. */
const makeChecks = (sql: SqlClient.SqlClient) => {
  const takesPart = (interactionId: string, userId: string) =>
    Effect.map(
      sql`select 1 from participants where interaction_id = ${interactionId}::uuid and user_id = ${userId}::uuid`,
      (rows) => rows.length > 0
    )

  /** The interaction of the complaint: its message's, or the named one. */
  const object = (complaint: Complaint) =>
    Effect.gen(function* () {
      let interactionId = complaint.interactionId
      if (complaint.messageId !== null) {
        const [message] = yield* sql<{ readonly interactionId: InteractionId; readonly senderId: string | null }>`
          select interaction_id as "interactionId", sender_id as "senderId" from messages
          where id = ${complaint.messageId}::uuid`
        if (message === undefined || !(yield* takesPart(message.interactionId, complaint.reporterId)))
          return yield* new NotFound({ what: "Message" })
        if (message.senderId !== complaint.subjectId)
          return yield* invalid("input.messageId", "was not sent by the reported person")
        if (interactionId !== null && interactionId !== message.interactionId)
          return yield* invalid("input.interactionId", "is not the interaction of the message")
        interactionId = message.interactionId
      }
      if (interactionId === null) return null
      if (!(yield* takesPart(interactionId, complaint.reporterId))) return yield* new NotFound({ what: "Interaction" })
      if (!(yield* takesPart(interactionId, complaint.subjectId)))
        return yield* invalid("input.interactionId", "is not one that the reported person takes part in")
      return interactionId
    })

  const subject = (complaint: Complaint) =>
    Effect.gen(function* () {
      if (complaint.subjectId === complaint.reporterId) return yield* invalid("input.subjectId", "is yourself")
      const rows = yield* sql`select 1 from users where id = ${complaint.subjectId}::uuid`
      if (rows.length === 0) return yield* new NotFound({ what: "User" })
    })

  return { object, subject }
}

/** What was said, as JSON: kept with the report whatever becomes of the messages. */
const snapshot = (sql: SqlClient.SqlClient, interactionId: string | null, messageId: string | null) =>
  interactionId === null
    ? Effect.succeed(null)
    : Effect.map(
        sql<{ readonly id: string; readonly seq: number; readonly senderId: string; body: string; at: Date }>`
          select id, seq, sender_id as "senderId", body, created_at as at from messages
          where interaction_id = ${interactionId}::uuid
            and (${messageId}::uuid is null or seq <= (select seq from messages where id = ${messageId}::uuid))
          order by seq desc limit ${evidenceMessagesMax}::int`,
        (rows) => JSON.stringify(rows.toReversed())
      )

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const cursor = yield* Cursor
  const audit = yield* Audit
  const fields = columns(sql)
  const checks = makeChecks(sql)

  const urgency = (complaint: Complaint) =>
    Effect.map(
      sql<{ readonly reporters: number; readonly actioned: number; readonly dismissed: number }>`
        select
          (select count(distinct reporter_id) from reports
           where subject_id = ${complaint.subjectId}::uuid and reporter_id <> ${complaint.reporterId}::uuid
             and state in (0, 1))::int + 1 as reporters,
          (select count(*) from reports where reporter_id = ${complaint.reporterId}::uuid and state = 2)::int as actioned,
          (select count(*) from reports where reporter_id = ${complaint.reporterId}::uuid and state = 3)::int as dismissed`,
      ([found]) => priority(complaint.reason, found?.reporters ?? 1, found ?? { actioned: 0, dismissed: 0 })
    )

  const byKey = (complaint: Complaint) =>
    Effect.gen(function* () {
      const [row] = yield* sql<ReportRow>`
        select ${fields} from reports r
        where r.reporter_id = ${complaint.reporterId}::uuid and r.client_key = ${complaint.clientKey}`
      if (row === undefined) return Option.none()
      const report = fromRow(row, yield* Clock.currentTimeMillis)
      return sameComplaint(report, complaint)
        ? Option.some(report)
        : yield* new Conflict({ message: "The clientKey was used for another report" })
    })

  const insert = (complaint: Complaint, interactionId: InteractionId | null) =>
    Effect.gen(function* () {
      const id = yield* Ids.make(Ids.ReportId)
      const now = yield* Clock.currentTimeMillis
      const evidence = yield* snapshot(sql, interactionId, complaint.messageId)
      const rows = yield* sql<ReportRow>`
        insert into reports as r (id, reporter_id, subject_id, message_id, interaction_id, client_key, reason, details,
                                  evidence, priority, created_at)
        values (${id}::uuid, ${complaint.reporterId}::uuid, ${complaint.subjectId}::uuid, ${complaint.messageId}::uuid,
                ${complaint.interactionId}::uuid, ${complaint.clientKey}, ${complaint.reason}, ${complaint.details},
                ${evidence}, ${yield* urgency(complaint)}::int, ${new Date(now)}::timestamptz)
        returning ${fields}`
      return fromRow(rows[0]!, now)
    })

  /** Two calls with one key at once: the one that came second finds the first one's row. */
  const onceOnly = (complaint: Complaint) => (error: SqlError) =>
    isUniqueViolation(error, "reports_reporter_id_client_key_key")
      ? Effect.flatMap(byKey(complaint), Option.match({ onNone: () => Effect.fail(error), onSome: Effect.succeed }))
      : isUniqueViolation(error, "reports_once")
        ? Effect.fail(new Conflict({ message: "You have reported this already; it is being looked at" }))
        : Effect.fail(error)

  /** Why a report could not be taken: `what` says what was to be done with it. */
  const whyNot = (id: ReportId) =>
    Effect.gen(function* () {
      const [row] = yield* sql<{ readonly state: number }>`select state from reports where id = ${id}::uuid`
      if (row === undefined) return yield* new NotFound({ what: "Report" })
      return yield* new Conflict({
        message:
          row.state >= 2
            ? "The report is closed: leave out reportId to act again"
            : "Someone else is dealing with the report"
      })
    })

  /** Moves a report that is open, lapsed or the moderator's own; Conflict otherwise. */
  const move = (id: ReportId, moderator: UserId, state: State) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const lapsed = new Date(now - Duration.toMillis(claimLease))
      const rows = yield* sql<ReportRow>`
        update reports r set state = ${states.indexOf(state)}::smallint, claimed_by = ${moderator}::uuid,
          claimed_at = ${new Date(now)}::timestamptz
        where r.id = ${id}::uuid and (r.state = 0 or (r.state = 1
          and (r.claimed_by = ${moderator}::uuid or r.claimed_by is null or r.claimed_at <= ${lapsed}::timestamptz)))
        returning ${fields}`
      return rows[0] ? fromRow(rows[0], now) : yield* whyNot(id)
    })

  /** As the database has it now: a session may know an older role for a moment. */
  const moderates = (id: UserId) =>
    Effect.flatMap(sql`select 1 from users where id = ${id}::uuid and role > 0 for share`, (rows) =>
      rows.length > 0 ? Effect.void : new Forbidden({ message: "Only for moderators" })
    )

  const audited = (id: ReportId, moderator: UserId, state: State, verb: string, details: Record<string, string>) =>
    sql
      .withTransaction(
        Effect.gen(function* () {
          yield* moderates(moderator)
          const moved = yield* move(id, moderator, state)
          yield* audit.append({ actorId: moderator, verb, target: Ids.toGlobal("Report", id), details })
          return moved
        })
      )
      .pipe(orUnavailable)

  const report = Effect.fn("Reports.make")(function* (complaint: Complaint) {
    yield* checks.subject(complaint)
    const known = yield* byKey(complaint)
    if (Option.isSome(known)) return known.value
    const interactionId = yield* checks.object(complaint)
    const made = yield* Effect.catchTag(insert(complaint, interactionId), "SqlError", onceOnly(complaint))
    yield* Metric.increment(Metrics.series(Metrics.reportsMade, complaint.reason.toLowerCase()))
    return made
  }, orUnavailable)

  const queue = Effect.fn("Reports.queue")(function* (page: {
    readonly state: State
    readonly first: number
    readonly after: string | null
  }) {
    const bound = { state: page.state }
    const now = yield* Clock.currentTimeMillis
    const lapsed = new Date(now - Duration.toMillis(claimLease))
    const at = yield* cursor.decode<readonly [priority: number, millis: number, id: string]>(
      "moderationQueue",
      bound,
      page.after
    )
    const state = states.indexOf(page.state)
    const wanted =
      page.state === "OPEN"
        ? sql`(r.state = 0 or (r.state = 1 and r.claimed_at <= ${lapsed}::timestamptz))`
        : page.state === "CLAIMED"
          ? sql`(r.state = 1 and r.claimed_at > ${lapsed}::timestamptz)`
          : sql`r.state = ${state}::smallint`
    const beyond = Option.match(at, {
      onNone: () => sql`true`,
      onSome: ([urgent, millis, id]) =>
        sql`(-r.priority, r.created_at, r.id) > (${-urgent}::int, ${new Date(millis)}::timestamptz, ${id}::uuid)`
    })
    const rows = yield* sql<ReportRow>`
      select ${fields} from reports r where ${wanted} and ${beyond}
      order by r.priority desc, r.created_at, r.id
      limit ${page.first + 1}::int`
    const edges = rows.slice(0, page.first).map((row) => ({
      node: fromRow(row, now),
      cursor: cursor.encode("moderationQueue", bound, [row.priority, row.createdAt.getTime(), row.id])
    }))
    return connection(edges, { hasNextPage: rows.length > page.first, hasPreviousPage: Option.isSome(at) })
  }, orUnavailable)

  return Reports.of({
    make: report,
    queue,
    byId: (id) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const rows = yield* sql<ReportRow>`select ${fields} from reports r where r.id = ${id}::uuid`
        return Option.map(Option.fromNullable(rows[0]), (row) => fromRow(row, now))
      }).pipe(orUnavailable),
    claim: (id, moderator) => audited(id, moderator, "CLAIMED", "report.claim", {}),
    dismiss: (id, moderator, reason) => audited(id, moderator, "DISMISSED", "report.dismiss", { reason }),
    action: (id, moderator) => move(id, moderator, "ACTIONED")
  })
})

export const layer: Layer.Layer<Reports, never, SqlClient.SqlClient | Cursor | Audit> = Layer.effect(Reports, make)
