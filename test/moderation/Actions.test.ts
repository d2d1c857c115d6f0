import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Broadcast, signals } from "../../src/broadcast/Broadcast.ts"
import { Messages } from "../../src/communication/Messages.ts"
import { Interactions } from "../../src/interaction/Interactions.ts"
import { Actions, type Order } from "../../src/moderation/Actions.ts"
import { Audit } from "../../src/moderation/Audit.ts"
import { Reports } from "../../src/moderation/Reports.ts"
import { Restrictions } from "../../src/moderation/Restrictions.ts"
import { Queue } from "../../src/queuing/Queue.ts"
import { inboxTopic } from "../../src/queuing/Signal.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import type { Account } from "../../src/user/Users.ts"
import { withLayer } from "../kit/effect.ts"
import { ended } from "../kit/session.ts"
import * as services from "../user/services.ts"
import { key, say, talk, withRole } from "./people.ts"

const order = (actor: Account, subject: Account, more: Partial<Order> = {}): Order => ({
  actorId: actor.user.id,
  subjectId: subject.user.id,
  kind: "MUTE",
  reason: "because",
  expiresAt: null,
  messageId: null,
  interactionId: null,
  reportId: null,
  clientKey: key(),
  ...more
})

const audited = Effect.flatMap(Audit, (audit) => Effect.map(audit.verify, ({ sound }) => sound))

withLayer("Actions", services.layer, (test) => {
  test("only who has the role acts, and a moderator not on an admin", () =>
    Effect.gen(function* () {
      const actions = yield* Actions
      const [user, moderator, admin] = [
        yield* services.person(),
        yield* withRole("MODERATOR"),
        yield* withRole("ADMIN")
      ]
      const before = yield* audited
      for (const [actor, subject] of [
        [user, moderator],
        [moderator, admin]
      ] as const)
        expect((yield* Effect.flip(actions.moderate(order(actor, subject))))._tag).toBe("Forbidden")
      expect(yield* audited).toBe(before)
      yield* actions.moderate(order(admin, moderator))
      yield* actions.moderate(order(moderator, user))
      expect(yield* audited).toBe(before + 2)
    }))

  test("an order that makes no sense is refused with the path of each mistake", () =>
    Effect.gen(function* () {
      const actions = yield* Actions
      const [user, moderator] = [yield* services.person(), yield* withRole("MODERATOR")]
      const paths = (one: Order) =>
        Effect.map(Effect.flip(actions.moderate(one)), (error) =>
          error._tag === "ValidationFailed" ? error.issues.map(({ path }) => path) : [error._tag]
        )
      expect(yield* paths(order(moderator, moderator))).toEqual(["input.subjectId"])
      expect(yield* paths(order(moderator, user, { kind: "SHADOW_BAN" }))).toEqual(["input.kind"])
      expect(yield* paths(order(moderator, user, { expiresAt: new Date(0) }))).toEqual(["input.expiresAt"])
      expect(yield* paths(order(moderator, user, { kind: "REMOVE_MESSAGE", expiresAt: new Date(0) }))).toEqual([
        "input.expiresAt",
        "input.expiresAt",
        "input.messageId"
      ])
      expect(yield* paths(order(moderator, user, { kind: "END_INTERACTION" }))).toEqual(["input.interactionId"])
      const id = yield* talk(moderator, yield* services.person())
      expect(yield* paths(order(moderator, user, { kind: "END_INTERACTION", interactionId: id }))).toEqual(["NotFound"])
    }))

  test("the same key acts once and leaves one audit entry", () =>
    Effect.gen(function* () {
      const actions = yield* Actions
      const [user, moderator] = [yield* services.person(), yield* withRole("MODERATOR")]
      const before = yield* audited
      const one = order(moderator, user)
      const done = yield* Effect.all([actions.moderate(one), actions.moderate(one), actions.moderate(one)], {
        concurrency: 3
      })
      expect(new Set(done.map(({ id }) => id)).size).toBe(1)
      expect(yield* audited).toBe(before + 1)
      expect((yield* Effect.flip(actions.moderate({ ...one, reason: "another" })))._tag).toBe("Conflict")
    }))

  test("a mute holds until it is revoked, and the person is told", () =>
    Effect.gen(function* () {
      const actions = yield* Actions
      const broadcast = yield* Broadcast
      const [ada, bob, moderator] = [yield* services.person(), yield* services.person(), yield* withRole("MODERATOR")]
      const id = yield* talk(ada, bob)
      const inbox = yield* signals<{ readonly _tag: string }>(broadcast, inboxTopic(ada.user.id))
      const action = yield* actions.moderate(order(moderator, ada))
      const told = yield* Stream.runHead(inbox)
      expect(told).toEqual(
        Option.some({ _tag: "Message", message: { _tag: "RestrictionPosted", actionId: action.id } })
      )
      expect((yield* Effect.flip(say(ada, id, "hello")))._tag).toBe("Restricted")
      const before = yield* audited
      const revoked = yield* actions.revoke(action.id, moderator.user.id, "too harsh")
      expect(revoked.revokedAt).not.toBeNull()
      expect(yield* actions.revoke(action.id, moderator.user.id, "again")).toEqual(revoked)
      expect(yield* audited).toBe(before + 1)
      yield* say(ada, id, "hello")
    }))

  test("a ban ends sessions, waiting and interactions within a second", () =>
    Effect.gen(function* () {
      const actions = yield* Actions
      const sessions = yield* Sessions
      const queue = yield* Queue
      const [ada, bob, moderator] = [yield* services.person(), yield* services.person(), yield* withRole("MODERATOR")]
      const interactionId = yield* talk(ada, bob)
      yield* say(bob, interactionId, "hello")
      const { token, session } = yield* sessions.create(ada.user.id, { userAgent: Option.none() })
      yield* sessions.load(token)
      yield* queue.join(ada.user.id, { clientKey: key() })
      const start = yield* Clock.currentTimeMillis
      yield* actions.moderate(order(moderator, ada, { kind: "BAN" }))
      expect(yield* Effect.flip(sessions.load(token))).toMatchObject({ _tag: "Restricted", kind: "BAN" })
      expect(yield* ended(sessions, session)).toBe("banned")
      expect((yield* queue.ticketOf(ada.user.id)).pipe(Option.exists(({ state }) => state === "WAITING"))).toBe(false)
      expect((yield* Effect.flip(queue.join(ada.user.id, { clientKey: key() })))._tag).toBe("Restricted")
      const found = (yield* (yield* Interactions).byIds([interactionId])).get(interactionId)!
      expect([found.state, found.endReason]).toEqual(["ENDED", "MODERATED"])
      expect((yield* Clock.currentTimeMillis) - start).toBeLessThan(1_000)
    }))

  test("a removed message loses its text for readers, and comes back when restored", () =>
    Effect.gen(function* () {
      const actions = yield* Actions
      const messages = yield* Messages
      const [ada, bob, moderator] = [yield* services.person(), yield* services.person(), yield* withRole("MODERATOR")]
      const id = yield* talk(ada, bob)
      const message = yield* say(ada, id, "hello")
      const state = Effect.map(messages.byIds([message.id]), (found) => found.get(message.id)?.state)
      const remove = order(moderator, ada, { kind: "REMOVE_MESSAGE", messageId: message.id })
      const removed = yield* actions.moderate(remove)
      expect(removed.interactionId).toBe(id)
      expect(yield* state).toBe("REMOVED")
      yield* actions.moderate(order(moderator, ada, { kind: "RESTORE_MESSAGE", messageId: message.id }))
      expect(yield* state).toBe("VISIBLE")
      yield* actions.moderate(remove)
      expect(yield* state).toBe("VISIBLE")
      expect((yield* Effect.flip(actions.revoke(removed.id, moderator.user.id, "no")))._tag).toBe("ValidationFailed")
      const foreign = order(moderator, bob, { kind: "REMOVE_MESSAGE", messageId: message.id })
      expect((yield* Effect.flip(actions.moderate(foreign)))._tag).toBe("ValidationFailed")
    }))

  test("an action that could not be enforced when it was written is enforced by its reminder", () =>
    Effect.gen(function* () {
      const actions = yield* Actions
      const sql = yield* SqlClient.SqlClient
      const [ada, bob, moderator] = [yield* services.person(), yield* services.person(), yield* withRole("MODERATOR")]
      const interaction = yield* talk(ada, bob)
      // As a process does that stops right after its commit.
      yield* sql`alter table sessions rename to sessions_away`
      yield* Effect.flip(Effect.sandbox(actions.moderate(order(moderator, ada, { kind: "BAN" }))))
      yield* sql`alter table sessions_away rename to sessions`
      const interactions = yield* Interactions
      expect((yield* interactions.byIds([interaction])).get(interaction)?.state).toBe("ACTIVE")
      yield* sql`update actor_reminders set due_at = ${new Date()}, leased_until = '-infinity' where actor = 'Enforcement'`
      yield* interactions
        .byIds([interaction])
        .pipe(
          Effect.repeat({ until: (found) => found.get(interaction)?.endReason === "MODERATED" }),
          Effect.timeout("10 seconds")
        )
    }))

  test("an action closes the report that led to it, or neither is done", () =>
    Effect.gen(function* () {
      const actions = yield* Actions
      const reports = yield* Reports
      const sql = yield* SqlClient.SqlClient
      const [ada, bob] = [yield* services.person(), yield* services.person()]
      const [one, other] = [yield* withRole("MODERATOR"), yield* withRole("MODERATOR")]
      const report = yield* reports.make({
        reporterId: ada.user.id,
        subjectId: bob.user.id,
        messageId: null,
        interactionId: null,
        reason: "SPAM",
        details: null,
        clientKey: key()
      })
      yield* reports.claim(report.id, one.user.id)
      const failed = yield* Effect.flip(actions.moderate(order(other, bob, { reportId: report.id })))
      expect(failed._tag).toBe("Conflict")
      const wrong = yield* Effect.flip(actions.moderate(order(one, ada, { reportId: report.id })))
      expect(wrong._tag).toBe("ValidationFailed")
      const rows = yield* sql`select 1 from moderation_actions where report_id = ${report.id}::uuid`
      expect(rows.length).toBe(0)
      yield* actions.moderate(order(one, bob, { reportId: report.id }))
      expect(Option.getOrThrow(yield* reports.byId(report.id)).state).toBe("ACTIONED")
      expect((yield* (yield* Restrictions).list(bob.user.id)).length).toBe(1)
    }))

  test("after all of this the audit chain is whole", () =>
    Effect.gen(function* () {
      expect((yield* (yield* Audit).verify).broken).toEqual(Option.none())
    }))
})
