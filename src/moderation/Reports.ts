import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
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
    /**
     * The statement that closes the report because of an action, for the transaction of that. Without a row, which has
     * the `subjectId`, it could not be closed: `whyNot` says why.
     */
    readonly closing: (id: ReportId, moderator: UserId, nowMillis: number) => Statement.Statement<ReportRow>
    readonly whyNot: (id: ReportId) => Effect.Effect<never, NotFound | Conflict | SqlError>
  }
>() {}

const sameComplaint = (report: Report, complaint: Complaint): boolean =>
  report.subjectId === complaint.subjectId &&
  report.messageId === complaint.messageId &&
  report.interactionId === complaint.interactionId &&
  report.reason === complaint.reason &&
  report.details === complaint.details

/** What the database knows of a complaint; the columns of a report are those of one with this key, or null. */
interface Facts extends Omit<ReportRow, "id"> {
  readonly id: string | null
  readonly isSomebody: boolean
  /** Of the message. */
  readonly placeId: InteractionId | null
  readonly senderId: string | null
  /** Whether they take part in the interaction: the message's, or the named one. */
  readonly reporterIsIn: boolean
  readonly subjectIsIn: boolean
  /** How many people's open reports are about the subject, and what became of the reporter's others. */
  readonly reporters: number
  readonly actioned: number
  readonly dismissed: number
}

/** All that is to be known before a report is made, in one statement. */
const factsOf = (
  sql: SqlClient.SqlClient,
  { clientKey, interactionId, messageId, reporterId, subjectId }: Complaint
) => {
  const takesPart = (userId: string) => sql`exists (
    select 1 from participants p
    where p.interaction_id = coalesce(m.interaction_id, ${interactionId}::uuid) and p.user_id = ${userId}::uuid)`
  const own = (state: State) => sql`
    (select count(*) from reports where reporter_id = ${reporterId}::uuid and state = ${states.indexOf(state)}::smallint)::int`
  return Effect.map(
    sql<Facts>`
      select ${columns(sql)}, u.id is not null as "isSomebody", m.interaction_id as "placeId", m.sender_id as "senderId",
        ${takesPart(reporterId)} as "reporterIsIn", ${takesPart(subjectId)} as "subjectIsIn",
        (select count(distinct reporter_id) from reports
         where subject_id = ${subjectId}::uuid and reporter_id <> ${reporterId}::uuid and state in (0, 1))::int + 1
          as reporters,
        ${own("ACTIONED")} as actioned, ${own("DISMISSED")} as dismissed
      from (select) as always
        left join users u on u.id = ${subjectId}::uuid
        left join messages m on m.id = ${messageId}::uuid
        left join reports r on r.reporter_id = ${reporterId}::uuid and r.client_key = ${clientKey}`,
    ([facts]) => facts!
  )
}

/** The interaction of the complaint: its message's, or the named one, as far as its reporter may know of it. */
const placeOf = (complaint: Complaint, facts: Facts) =>
  Effect.gen(function* () {
    if (complaint.messageId !== null) {
      if (facts.placeId === null || !facts.reporterIsIn) return yield* new NotFound({ what: "Message" })
      if (facts.senderId !== complaint.subjectId)
        return yield* invalid("input.messageId", "was not sent by the reported person")
      if (complaint.interactionId !== null && complaint.interactionId !== facts.placeId)
        return yield* invalid("input.interactionId", "is not the interaction of the message")
    }
    const interactionId = facts.placeId ?? complaint.interactionId
    if (interactionId === null) return null
    if (!facts.reporterIsIn) return yield* new NotFound({ what: "Interaction" })
    return facts.subjectIsIn
      ? interactionId
      : yield* invalid("input.interactionId", "is not one that the reported person takes part in")
  })

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

  const sameOne = (row: ReportRow, complaint: Complaint) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const report = fromRow(row, now)
      return sameComplaint(report, complaint)
        ? Effect.succeed(report)
        : new Conflict({ message: "The clientKey was used for another report" })
    })

  const insert = (complaint: Complaint, facts: Facts, interactionId: InteractionId | null) =>
    Effect.gen(function* () {
      const id = yield* Ids.make(Ids.ReportId)
      const now = yield* Clock.currentTimeMillis
      const evidence = yield* snapshot(sql, interactionId, complaint.messageId)
      const rows = yield* sql<ReportRow>`
        insert into reports as r (id, reporter_id, subject_id, message_id, interaction_id, client_key, reason, details,
                                  evidence, priority, created_at)
        values (${id}::uuid, ${complaint.reporterId}::uuid, ${complaint.subjectId}::uuid, ${complaint.messageId}::uuid,
                ${complaint.interactionId}::uuid, ${complaint.clientKey}, ${complaint.reason}, ${complaint.details},
                ${evidence}, ${priority(complaint.reason, facts.reporters, facts)}::int, ${new Date(now)}::timestamptz)
        returning ${fields}`
      return fromRow(rows[0]!, now)
    })

  /** Two calls with one key at once: the one that came second finds the first one's row. */
  const onceOnly = (complaint: Complaint) => (error: SqlError) =>
    isUniqueViolation(error, "reports_reporter_id_client_key_key")
      ? Effect.flatMap(factsOf(sql, complaint), ({ id, ...row }): Effect.Effect<Report, SqlError | Conflict> =>
          id === null ? Effect.fail(error) : sameOne({ id, ...row }, complaint)
        )
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

  /** Moves a report that is open, lapsed or the moderator's own; no row otherwise. */
  const moving = (id: ReportId, moderator: UserId, state: State, now: number) => {
    const lapsed = new Date(now - Duration.toMillis(claimLease))
    return sql<ReportRow>`
      update reports r set state = ${states.indexOf(state)}::smallint, claimed_by = ${moderator}::uuid,
        claimed_at = ${new Date(now)}::timestamptz
      where r.id = ${id}::uuid and (r.state = 0 or (r.state = 1
        and (r.claimed_by = ${moderator}::uuid or r.claimed_by is null or r.claimed_at <= ${lapsed}::timestamptz)))
      returning ${fields}`
  }

  const move = (id: ReportId, moderator: UserId, state: State) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const [row] = yield* moving(id, moderator, state, now)
      return row ? fromRow(row, now) : yield* whyNot(id)
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
    if (complaint.subjectId === complaint.reporterId) return yield* invalid("input.subjectId", "is yourself")
    const facts = yield* factsOf(sql, complaint)
    if (!facts.isSomebody) return yield* new NotFound({ what: "User" })
    if (facts.id !== null) return yield* sameOne({ ...facts, id: facts.id }, complaint)
    const interactionId = yield* placeOf(complaint, facts)
    const made = yield* Effect.catchTag(insert(complaint, facts, interactionId), "SqlError", onceOnly(complaint))
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
    closing: (id, moderator, nowMillis) => moving(id, moderator, "ACTIONED", nowMillis),
    whyNot
  })
})

export const layer: Layer.Layer<Reports, never, SqlClient.SqlClient | Cursor | Audit> = Layer.effect(Reports, make)
