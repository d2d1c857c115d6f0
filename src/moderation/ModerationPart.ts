import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Messages } from "../communication/Messages.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import * as Ids from "../domain/Ids.ts"
import { ClientKey, Text } from "../domain/Text.ts"
import { Forbidden } from "../errors.ts"
import * as Batcher from "../request/Batcher.ts"
import * as PageArgs from "../graphql/PageArgs.ts"
import { field, memo, type Part, plain, type RequestContext, viewer } from "../graphql/Part.ts"
import { RateLimiter, rules } from "../rate/RateLimiter.ts"
import { type Session, Sessions } from "../session/Sessions.ts"
import * as UserLoader from "../user/UserLoader.ts"
import { type Action, Kind } from "./Action.ts"
import { Actions } from "./Actions.ts"
import { Audit, type Entry } from "./Audit.ts"
import { Reason, type Report, State } from "./Report.ts"
import { Reports } from "./Reports.ts"
import { Restrictions } from "./Restrictions.ts"

/** A moderator's words: 1 to 500 characters. */
const Why = Text(1, 500)

const optional = <A, I>(schema: Schema.Schema<A, I>) =>
  Schema.optionalWith(Schema.NullOr(schema), { default: () => null })

const GlobalUser = Ids.Global("User", Ids.UserId)
const GlobalReport = Ids.Global("Report", Ids.ReportId)
const messageId = optional(Ids.Global("Message", Ids.MessageId))
const interactionId = optional(Ids.Global("Interaction", Ids.InteractionId))

const MakeReport = Schema.Struct({
  input: Schema.Struct({
    subjectId: GlobalUser,
    messageId,
    interactionId,
    reason: Reason,
    details: optional(Text(0, 2_000)),
    clientKey: ClientKey
  })
})
const Moderate = Schema.Struct({
  input: Schema.Struct({
    subjectId: GlobalUser,
    kind: Kind,
    reason: Why,
    expiresAt: optional(Schema.Date),
    messageId,
    interactionId,
    reportId: optional(GlobalReport),
    clientKey: ClientKey
  })
})
const ClaimReport = Schema.Struct({ id: GlobalReport })
const DismissReport = Schema.Struct({ id: GlobalReport, reason: Why })
const RevokeAction = Schema.Struct({ id: Ids.Global("ModerationAction", Ids.ModerationActionId), reason: Why })
const ModerationQueue = Schema.Struct({
  state: Schema.optionalWith(State, { default: () => "OPEN" as const, nullable: true }),
  ...PageArgs.forward(20)
})
const AuditLog = Schema.Struct({
  target: optional(Schema.String.pipe(Schema.filter((id) => Ids.fromGlobal(id) !== undefined || "is not an id"))),
  ...PageArgs.forward(50)
})

const EndSessions = Schema.Struct({ userId: optional(GlobalUser) })

const isModerator = (session: Session): boolean => session.role !== "USER"

const moderator = (request: RequestContext) =>
  Effect.filterOrFail(viewer(request), isModerator, () => new Forbidden({ message: "Only for moderators" }))

const seesAsModerator = (request: RequestContext): boolean => Option.exists(request.session, isModerator)

const admin = (request: RequestContext) =>
  Effect.filterOrFail(
    viewer(request),
    ({ role }) => role === "ADMIN",
    () => new Forbidden({ message: "Only for admins" })
  )

const mutations = Effect.gen(function* () {
  const audit = yield* Audit
  const sessions = yield* Sessions
  const reports = yield* Reports
  const actions = yield* Actions
  const limiter = yield* RateLimiter

  return {
    report: field(MakeReport, ({ input }, request) =>
      Effect.gen(function* () {
        const { userId } = yield* viewer(request)
        yield* limiter.consume({ rule: rules.report, key: userId })
        return yield* reports.make({ ...input, reporterId: userId })
      })
    ),
    claimReport: field(ClaimReport, ({ id }, request) =>
      Effect.flatMap(moderator(request), ({ userId }) => reports.claim(id, userId))
    ),
    dismissReport: field(DismissReport, ({ id, reason }, request) =>
      Effect.flatMap(moderator(request), ({ userId }) => reports.dismiss(id, userId, reason))
    ),
    moderate: field(Moderate, ({ input }, request) =>
      Effect.flatMap(moderator(request), ({ userId }) => actions.moderate({ ...input, actorId: userId }))
    ),
    revokeAction: field(RevokeAction, ({ id, reason }, request) =>
      Effect.flatMap(moderator(request), ({ userId }) => actions.revoke(id, userId, reason))
    ),
    endSessions: field(EndSessions, ({ userId }, request) =>
      Effect.gen(function* () {
        const { userId: actorId } = yield* admin(request)
        const ended =
          userId == null
            ? yield* sessions.revokeEverybody("revoked", actorId)
            : yield* sessions.revokeAll(userId, "revoked")
        const target = userId == null ? "everybody" : Ids.toGlobal("User", userId)
        yield* orUnavailable(audit.append({ actorId, verb: "sessions.end", target, details: { ended: String(ended) } }))
        return ended
      })
    )
  } satisfies Part["Mutation"]
})

const types = Effect.gen(function* () {
  const messages = yield* Messages
  const restrictions = yield* Restrictions
  const users = yield* UserLoader.make
  const messagesKey = Symbol("reported messages")

  const message = (request: RequestContext, id: Ids.MessageId | null) =>
    id === null ? null : memo(request, messagesKey, () => Batcher.make(messages.byIds)).find(id)

  return {
    Report: {
      id: plain((report: Report) => Ids.toGlobal("Report", report.id)),
      reporter: plain((report: Report, request) => users.find(request, report.reporterId)),
      subject: plain((report: Report, request) => users.load(request, report.subjectId)),
      message: plain((report: Report, request) => message(request, report.messageId)),
      interactionId: plain(
        (report: Report) => report.interactionId && Ids.toGlobal("Interaction", report.interactionId)
      ),
      // Who reports someone is not told who deals with it.
      claimedBy: plain((report: Report, request) =>
        seesAsModerator(request) ? users.find(request, report.claimedBy) : null
      )
    },
    ModerationAction: {
      id: plain((action: Action) => Ids.toGlobal("ModerationAction", action.id))
    },
    AuditEntry: {
      id: plain((entry: Entry) => Ids.toGlobal("AuditEntry", entry.id)),
      actor: plain((entry: Entry, request) => users.find(request, entry.actorId))
    },
    Viewer: {
      restrictions: plain((session: Session) => restrictions.list(session.userId))
    }
  } satisfies Part["types"]
})

/** What the moderation service resolves. What is for moderators fails with Forbidden for everyone else. */
export const part = Effect.gen(function* () {
  const reports = yield* Reports
  const actions = yield* Actions
  const audit = yield* Audit

  return {
    Query: {
      moderationQueue: field(ModerationQueue, ({ state, first, after }, request) =>
        Effect.zipRight(moderator(request), reports.queue({ state, first, after: after ?? null }))
      ),
      auditLog: field(AuditLog, ({ target, first, after }, request) =>
        Effect.zipRight(moderator(request), audit.page({ target, first, after: after ?? null }))
      )
    },
    Mutation: yield* mutations,
    types: yield* types,
    // Null for those who may not see it: the same as for what is not there.
    nodes: {
      Report: (uuid, request) =>
        Effect.gen(function* () {
          const { userId } = yield* viewer(request)
          const found = Option.getOrNull(yield* reports.byId(Ids.ReportId.make(uuid)))
          return found !== null && (seesAsModerator(request) || found.reporterId === userId) ? found : null
        }),
      ModerationAction: (uuid, request) =>
        Effect.gen(function* () {
          const { userId } = yield* viewer(request)
          const found = Option.getOrNull(yield* actions.byId(Ids.ModerationActionId.make(uuid)))
          return found !== null && (seesAsModerator(request) || found.subjectId === userId) ? found : null
        }),
      AuditEntry: (uuid, request) =>
        Effect.gen(function* () {
          yield* viewer(request)
          return seesAsModerator(request) ? Option.getOrNull(yield* audit.byId(Ids.AuditEntryId.make(uuid))) : null
        })
    }
  } satisfies Part
})
