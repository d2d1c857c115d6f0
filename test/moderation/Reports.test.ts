import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Ids from "../../src/domain/Ids.ts"
import { Audit } from "../../src/moderation/Audit.ts"
import { priority } from "../../src/moderation/Report.ts"
import { type Complaint, Reports } from "../../src/moderation/Reports.ts"
import type { Account } from "../../src/user/Users.ts"
import { it, withLayer } from "../kit/effect.ts"
import * as services from "../user/services.ts"
import { key, say, talk, withRole } from "./people.ts"

const complaint = (reporter: Account, subject: Account, more: Partial<Complaint> = {}): Complaint => ({
  reporterId: reporter.user.id,
  subjectId: subject.user.id,
  messageId: null,
  interactionId: null,
  reason: "SPAM",
  details: null,
  clientKey: key(),
  ...more
})

it("more reporters and a better record make a report more urgent, up to a bound", () =>
  Effect.sync(() => {
    const fresh = { actioned: 0, dismissed: 0 }
    expect(priority("MINOR_SAFETY", 1, fresh)).toBeGreaterThan(priority("SPAM", 4, fresh))
    expect(priority("SPAM", 2, fresh)).toBeGreaterThan(priority("SPAM", 1, fresh))
    expect(priority("SPAM", 500, fresh)).toBe(priority("SPAM", 5, fresh))
    expect(priority("SPAM", 1, { actioned: 0, dismissed: 9 })).toBeLessThan(priority("SPAM", 1, fresh))
  }))

withLayer("Reports", services.layer, (test) => {
  test("the same key returns the first report, with other content a Conflict", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const [ada, bob] = [yield* services.person(), yield* services.person()]
      const first = complaint(ada, bob)
      const made = yield* reports.make(first)
      expect(yield* reports.make(first)).toEqual(made)
      expect((yield* Effect.flip(reports.make({ ...first, reason: "HATE" })))._tag).toBe("Conflict")
    }))

  test("one open report of one reporter, subject and object, however often and at once it is sent", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const [ada, bob, eve] = [yield* services.person(), yield* services.person(), yield* services.person()]
      const moderator = yield* withRole("MODERATOR")
      const results = yield* Effect.forEach(
        Array.from({ length: 6 }, () => complaint(ada, bob)),
        (one) => Effect.either(reports.make(one)),
        { concurrency: "unbounded" }
      )
      const made = results.flatMap((result) => (Either.isRight(result) ? [result.right] : []))
      expect(made.length).toBe(1)
      expect(new Set(results.flatMap((result) => (Either.isLeft(result) ? [result.left._tag] : [])))).toEqual(
        new Set(["Conflict"])
      )
      yield* reports.make(complaint(eve, bob))
      const id = yield* talk(ada, bob)
      yield* reports.make(complaint(ada, bob, { interactionId: id }))
      yield* reports.dismiss(made[0]!.id, moderator.user.id, "nothing there")
      expect((yield* reports.make(complaint(ada, bob))).state).toBe("OPEN")
    }))

  test("the same key sent twice at once makes one report", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const one = complaint(yield* services.person(), yield* services.person())
      const made = yield* Effect.all([reports.make(one), reports.make(one), reports.make(one)], { concurrency: 3 })
      expect(new Set(made.map(({ id }) => id)).size).toBe(1)
    }))

  test("nobody reports themselves, nobody, or what they take no part in", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const [ada, bob, eve] = [yield* services.person(), yield* services.person(), yield* services.person()]
      const id = yield* talk(ada, bob)
      const message = yield* say(bob, id, "hello there")
      const tag = (one: Complaint) => Effect.map(Effect.flip(reports.make(one)), ({ _tag }) => _tag)
      expect(yield* tag(complaint(ada, ada))).toBe("ValidationFailed")
      expect(
        yield* tag(complaint(ada, { ...bob, user: { ...bob.user, id: yield* Ids.make(Ids.UserId) } as never }))
      ).toBe("NotFound")
      expect(yield* tag(complaint(eve, bob, { messageId: message.id }))).toBe("NotFound")
      expect(yield* tag(complaint(eve, bob, { interactionId: id }))).toBe("NotFound")
      expect(yield* tag(complaint(ada, eve, { interactionId: id }))).toBe("ValidationFailed")
      expect(yield* tag(complaint(bob, ada, { messageId: message.id }))).toBe("ValidationFailed")
    }))

  test("the evidence is what was said up to the message, kept whatever becomes of it", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const sql = yield* SqlClient.SqlClient
      const [ada, bob] = [yield* services.person(), yield* services.person()]
      const id = yield* talk(ada, bob)
      yield* say(ada, id, "hi")
      const message = yield* say(bob, id, "buy my coins")
      yield* say(ada, id, "no")
      const report = yield* reports.make(complaint(ada, bob, { messageId: message.id }))
      yield* sql`update messages set body = null where id = ${message.id}::uuid`
      const [row] = yield* sql<{ evidence: string }>`select evidence from reports where id = ${report.id}::uuid`
      expect(JSON.parse(row!.evidence).map(({ body }: { body: string }) => body)).toEqual(["hi", "buy my coins"])
    }))

  test("of moderators who claim at once one wins, and a claim that lapsed can be taken", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const audit = yield* Audit
      const sql = yield* SqlClient.SqlClient
      const moderators = yield* Effect.all([withRole("MODERATOR"), withRole("MODERATOR"), withRole("ADMIN")])
      const { id } = yield* reports.make(complaint(yield* services.person(), yield* services.person()))
      const before = (yield* audit.verify).sound
      const tried = yield* Effect.forEach(moderators, (one) => Effect.either(reports.claim(id, one.user.id)), {
        concurrency: "unbounded"
      })
      const won = tried.flatMap((result) => (Either.isRight(result) ? [result.right] : []))
      expect(won.length).toBe(1)
      expect((yield* audit.verify).sound - before).toBe(1)
      const loser = moderators.find((one) => one.user.id !== won[0]!.claimedBy)!
      expect((yield* Effect.flip(reports.dismiss(id, loser.user.id, "no")))._tag).toBe("Conflict")
      yield* sql`update reports set claimed_at = claimed_at - interval '10 minutes' where id = ${id}::uuid`
      expect(Option.getOrThrow(yield* reports.byId(id))).toMatchObject({ state: "OPEN", claimedBy: null })
      expect((yield* reports.claim(id, loser.user.id)).claimedBy).toBe(loser.user.id)
      yield* reports.dismiss(id, loser.user.id, "no")
      expect((yield* Effect.flip(reports.claim(id, loser.user.id)))._tag).toBe("Conflict")
      expect((yield* Effect.flip(reports.claim(yield* Ids.make(Ids.ReportId), loser.user.id)))._tag).toBe("NotFound")
      // Whatever a session still says: the role in the database counts.
      yield* sql`update users set role = 0 where id = ${loser.user.id}::uuid`
      expect((yield* Effect.flip(reports.dismiss(id, loser.user.id, "no")))._tag).toBe("Forbidden")
    }))

  test("the queue shows the most urgent first, page by page", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const sql = yield* SqlClient.SqlClient
      yield* sql`delete from reports`
      for (const reason of ["SPAM", "MINOR_SAFETY", "OTHER", "HATE", "SPAM"] as const)
        yield* reports.make(complaint(yield* services.person(), yield* services.person(), { reason }))
      const seen: Array<string> = []
      let after: string | null = null
      for (let n = 0; n < 5; n++) {
        const page: Effect.Effect.Success<ReturnType<typeof reports.queue>> = yield* reports.queue({
          state: "OPEN",
          first: 2,
          after
        })
        seen.push(...page.edges.map(({ node }) => node.reason))
        after = page.pageInfo.endCursor
        if (!page.pageInfo.hasNextPage) break
      }
      expect(seen).toEqual(["MINOR_SAFETY", "HATE", "SPAM", "SPAM", "OTHER"])
    }))
})
