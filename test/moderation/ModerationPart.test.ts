import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Ids from "../../src/domain/Ids.ts"
import type { Action } from "../../src/moderation/Action.ts"
import * as ModerationPart from "../../src/moderation/ModerationPart.ts"
import type { Report } from "../../src/moderation/Report.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { withLayer } from "../kit/effect.ts"
import { call, layer, person, request, signedIn } from "../user/services.ts"
import { key, withRole } from "./people.ts"

withLayer("the moderation part", layer, (test) => {
  test("from report to action: the moderator sees it, the subject sees what was done, nobody else sees either", () =>
    Effect.gen(function* () {
      const part = yield* ModerationPart.part
      const [ada, bob, eve] = [yield* person(), yield* person(), yield* person()]
      const moderator = request(yield* signedIn(yield* withRole("MODERATOR")))
      const reporter = request(yield* signedIn(ada))
      const subjectSession = yield* signedIn(bob)
      const subjectId = Ids.toGlobal("User", bob.user.id)
      const input = { subjectId, reason: "SPAM", details: "again and again", clientKey: key() }
      const report = yield* call<Report>(part.Mutation.report, { input }, reporter)
      const id = Ids.toGlobal("Report", report.id)
      yield* call(part.Mutation.claimReport, { id }, moderator)
      const claimed = yield* part.nodes.Report(report.id, moderator)
      expect(claimed).toMatchObject({ state: "CLAIMED" })
      expect(yield* call<unknown>(part.types.Report.claimedBy, {}, reporter, claimed)).toBe(null)
      expect(yield* call<unknown>(part.types.Report.claimedBy, {}, moderator, claimed)).not.toBe(null)
      const order = { subjectId, kind: "MUTE", reason: "spam", reportId: id, clientKey: key() }
      const action = yield* call<Action>(
        part.Mutation.moderate,
        { input: { ...order, expiresAt: "2099-01-01T00:00:00.000Z" } },
        moderator
      )
      const viewer = { subject: request(subjectSession), other: request(yield* signedIn(eve)) }
      expect(yield* call<unknown>(part.types.Viewer.restrictions, {}, viewer.subject, subjectSession)).toEqual([action])
      expect(yield* part.nodes.ModerationAction(action.id, viewer.subject)).toEqual(action)
      expect(yield* part.nodes.ModerationAction(action.id, viewer.other)).toBe(null)
      expect(yield* part.nodes.Report(report.id, viewer.subject)).toBe(null)
      const log = yield* call<{ edges: ReadonlyArray<{ node: { verb: string } }> }>(
        part.Query.auditLog,
        { target: subjectId },
        moderator
      )
      expect(log.edges.map(({ node }) => node.verb)).toEqual(["moderate.mute"])
    }))

  test("an admin ends the sessions of one person, or of everybody else, and it is written down", () =>
    Effect.gen(function* () {
      const part = yield* ModerationPart.part
      const sessions = yield* Sessions
      const [ada, bob, eve] = [yield* person(), yield* person(), yield* person()]
      const made = yield* Effect.forEach([ada, bob, eve], ({ user }) =>
        sessions.create(user.id, { userAgent: Option.none() })
      )
      const admin = yield* withRole("ADMIN")
      const mine = yield* sessions.create(admin.user.id, { userAgent: Option.none() })
      const alive = Effect.forEach(made, ({ token }) => Effect.isSuccess(sessions.load(token)))
      const moderator = request(yield* signedIn(yield* withRole("MODERATOR")))
      expect((yield* Effect.flip(call(part.Mutation.endSessions, {}, moderator)))._tag).toBe("Forbidden")
      expect(yield* alive).toEqual([true, true, true])
      const one = { userId: Ids.toGlobal("User", ada.user.id) }
      expect(yield* call<number>(part.Mutation.endSessions, one, request(mine.session))).toBe(1)
      expect(yield* alive).toEqual([false, true, true])
      expect(yield* call<number>(part.Mutation.endSessions, {}, request(mine.session))).toBeGreaterThanOrEqual(2)
      expect(yield* alive).toEqual([false, false, false])
      yield* sessions.load(mine.token)
      const log = yield* call<{ edges: ReadonlyArray<{ node: { verb: string } }> }>(
        part.Query.auditLog,
        { target: one.userId },
        request(mine.session)
      )
      expect(log.edges.map(({ node }) => node.verb)).toEqual(["sessions.end"])
    }))

  test("what is for moderators is Forbidden for everyone else", () =>
    Effect.gen(function* () {
      const part = yield* ModerationPart.part
      const [ada, bob] = [yield* person(), yield* person()]
      const context = request(yield* signedIn(ada))
      const subjectId = Ids.toGlobal("User", bob.user.id)
      const id = Ids.toGlobal("Report", "0190b3a0-0000-7000-8000-000000000001")
      const action = Ids.toGlobal("ModerationAction", "0190b3a0-0000-7000-8000-000000000001")
      for (const [field, args] of [
        [part.Query.moderationQueue, {}],
        [part.Query.auditLog, {}],
        [part.Mutation.claimReport, { id }],
        [part.Mutation.dismissReport, { id, reason: "no" }],
        [part.Mutation.revokeAction, { id: action, reason: "no" }],
        [part.Mutation.moderate, { input: { subjectId, kind: "BAN", reason: "no", clientKey: key() } }]
      ] as const) {
        expect((yield* Effect.flip(call(field, args, context)))._tag).toBe("Forbidden")
        expect((yield* Effect.flip(call(field, args, request())))._tag).toBe("Unauthenticated")
      }
    }))

  test("nobody reports themselves", () =>
    Effect.gen(function* () {
      const part = yield* ModerationPart.part
      const ada = yield* person()
      const input = { subjectId: Ids.toGlobal("User", ada.user.id), reason: "SPAM", clientKey: key() }
      const error = yield* Effect.flip(call(part.Mutation.report, { input }, request(yield* signedIn(ada))))
      expect(error).toMatchObject({ _tag: "ValidationFailed", issues: [{ path: "input.subjectId" }] })
    }))
})
