import { expect } from "bun:test"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Settings } from "../../src/config/Settings.ts"
import * as Ids from "../../src/domain/Ids.ts"
import type { ConnectError } from "../../src/errors.ts"
import { contract } from "../../src/graphql/contract.ts"
import type { Field, RequestContext } from "../../src/graphql/Part.ts"
import { Interactions } from "../../src/interaction/Interactions.ts"
import { Actions } from "../../src/moderation/Actions.ts"
import { Sessions, type Session } from "../../src/session/Sessions.ts"
import { Presence } from "../../src/user/Presence.ts"
import * as UserPart from "../../src/user/UserPart.ts"
import { type Account, Users } from "../../src/user/Users.ts"
import { withLayer } from "../kit/effect.ts"
import { ended } from "../kit/session.ts"
import { key, talk, withRole } from "../moderation/people.ts"
import { call, layer, person, request, signedIn } from "./services.ts"

interface Payload {
  readonly token: string
  readonly expiresAt: Date
  readonly viewer: Session
}

const pathsOf = (error: ConnectError) =>
  error._tag === "ValidationFailed" ? error.issues.map(({ path }) => path) : [error._tag]

let people = 0
const handle = () => `member_${++people}`

withLayer("the user part", layer, (test) => {
  test("signing up makes a session, sets its cookie and shows the viewer", () =>
    Effect.gen(function* () {
      const { Mutation, types } = yield* UserPart.part
      const context = request()
      const name = handle()
      const args = { handle: name, password: "correct horse", email: "a@example.org" }
      const payload = yield* call<Payload>(Mutation.signUp, args, context)
      expect(context.cookies).toEqual([payload.token])
      expect((yield* (yield* Sessions).load(payload.token)).userId).toBe(payload.viewer.userId)
      expect(yield* call<unknown>(types.Viewer.user, {}, context, payload.viewer)).toMatchObject({ handle: name })
      expect(yield* call<unknown>(types.Viewer.email, {}, context, payload.viewer)).toBe("a@example.org")
      expect(yield* call<unknown>(types.Viewer.role, {}, context, payload.viewer)).toBe("USER")
    }))

  test("a browser keeps the cookie for as long as use may carry the session", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const { session } = yield* Settings
      let until = 0
      const setSessionCookie: RequestContext["setSessionCookie"] = (cookie) => {
        until = Option.getOrThrow(cookie).expiresAt.getTime()
      }
      const args = { handle: handle(), password: "correct horse" }
      const { expiresAt, viewer } = yield* call<Payload>(Mutation.signUp, args, { ...request(), setSessionCookie })
      expect(until - viewer.createdAt.getTime()).toBe(Duration.toMillis(session.absolute))
      expect(expiresAt).toEqual(viewer.expiresAt)
    }))

  test("everything wrong with a sign-up is told at once, by path, and nothing of it repeated", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const error = yield* Effect.flip(
        call(
          Mutation.signUp,
          {
            handle: "No Good",
            password: "seven77",
            email: "secret-address",
            profile: { interests: ["chess", "go", "tea", "Not A Slug"], languages: ["english"], displayName: "  " }
          },
          request()
        )
      )
      expect(pathsOf(error).toSorted()).toEqual([
        "email",
        "handle",
        "password",
        "profile.displayName",
        "profile.interests.3",
        "profile.languages.0"
      ])
      expect(error.message).not.toContain("seven77")
      expect(error.message).not.toContain("secret-address")
      const reserved = yield* Effect.flip(
        call(Mutation.signUp, { handle: "adm1n", password: "correct horse" }, request())
      )
      expect(pathsOf(reserved)).toEqual(["handle"])
    }))

  test("a taken handle is a Conflict, and a hateful name is refused", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const args = { handle: handle(), password: "correct horse" }
      yield* call(Mutation.signUp, args, request())
      expect((yield* Effect.flip(call(Mutation.signUp, args, request())))._tag).toBe("Conflict")
      const named = { ...args, handle: handle(), profile: { displayName: "k1ke hunter" } }
      expect((yield* Effect.flip(call(Mutation.signUp, named, request())))._tag).toBe("ContentRejected")
    }))

  test("signing in gives another session and ends the one it came with", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const sessions = yield* Sessions
      const args = { handle: handle(), password: "correct horse" }
      const first = yield* call<Payload>(Mutation.signUp, args, request())
      const second = yield* call<Payload>(Mutation.signIn, args, request(first.viewer))
      expect(second.token).not.toBe(first.token)
      expect((yield* Effect.flip(sessions.load(first.token)))._tag).toBe("SessionExpired")
      yield* sessions.load(second.token)
    }))

  test("a wrong password, an unknown handle and one that cannot be are the same failure", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const args = { handle: handle(), password: "correct horse" }
      yield* call(Mutation.signUp, args, request())
      const failures = yield* Effect.forEach(
        [
          { ...args, password: "wrong horse" },
          { ...args, password: "x" },
          { ...args, handle: "nobody_at_all" },
          { ...args, handle: "Not a handle'; --" }
        ],
        (one) => Effect.flip(call(Mutation.signIn, one, request()))
      )
      expect(new Set(failures.map((error) => JSON.stringify([error._tag, error.message]))).size).toBe(1)
      expect(failures[0]!._tag).toBe("InvalidCredentials")
    }))

  test("who is banned is told so after the right password alone", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const args = { handle: handle(), password: "correct horse" }
      const { viewer } = yield* call<Payload>(Mutation.signUp, args, request())
      const moderator = yield* withRole("MODERATOR")
      yield* (yield* Actions).moderate({
        actorId: moderator.user.id,
        subjectId: viewer.userId,
        kind: "BAN",
        reason: "because",
        expiresAt: null,
        messageId: null,
        interactionId: null,
        reportId: null,
        clientKey: key()
      })
      expect((yield* Effect.flip(call(Mutation.signIn, args, request())))._tag).toBe("Restricted")
      const wrong = yield* Effect.flip(call(Mutation.signIn, { ...args, password: "wrong horse" }, request()))
      expect(wrong._tag).toBe("InvalidCredentials")
    }))

  test("a guest has a made-up handle and cannot sign in by password", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const { viewer } = yield* call<Payload>(Mutation.signInAsGuest, { profile: { interests: ["tea"] } }, request())
      const { user } = yield* (yield* Users).account(viewer.userId)
      expect(user.handle).toMatch(/^[a-z]+_[a-z]+_\d{4}$/)
      expect(user.interests).toEqual(["tea"])
      const failed = yield* Effect.flip(call(Mutation.signIn, { handle: user.handle, password: "" }, request()))
      expect(failed._tag).toBe("InvalidCredentials")
    }))

  test("changing the password rotates the session and ends the others", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const sessions = yield* Sessions
      const args = { handle: handle(), password: "correct horse" }
      const here = yield* call<Payload>(Mutation.signUp, args, request())
      const elsewhere = yield* call<Payload>(Mutation.signIn, args, request())
      const context = request(here.viewer)
      const next = { current: "correct horse", next: "battery staple" }
      const after = yield* call<Payload>(Mutation.changePassword, next, context)
      for (const { token } of [here, elsewhere])
        expect((yield* Effect.flip(sessions.load(token)))._tag).toBe("SessionExpired")
      yield* sessions.load(after.token)
      expect(context.cookies).toEqual([after.token])
      yield* call(Mutation.signIn, { ...args, password: "battery staple" }, request())
    }))

  test("a session that began long ago ends others only with the password, and a guest's without", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const sessions = yield* Sessions
      const args = { handle: handle(), password: "correct horse" }
      const { viewer } = yield* call<Payload>(Mutation.signUp, args, request())
      const other = yield* call<Payload>(Mutation.signIn, args, request())
      const old = (session: Session) => request({ ...session, createdAt: new Date(Date.now() - 16 * 60_000) })
      const id = Ids.toGlobal("Session", other.viewer.id)
      const failure = (field: Field, given: object) =>
        Effect.map(Effect.flip(call(field, given, old(viewer))), (e) => e._tag)
      expect(yield* failure(Mutation.revokeSession, { id })).toBe("Forbidden")
      expect(yield* failure(Mutation.revokeAllSessions, {})).toBe("Forbidden")
      expect(yield* failure(Mutation.revokeSession, { id, password: "wrong horse" })).toBe("InvalidCredentials")
      yield* sessions.load(other.token)
      yield* call(Mutation.revokeSession, { id, password: "correct horse" }, old(viewer))
      expect((yield* Effect.flip(sessions.load(other.token)))._tag).toBe("SessionExpired")
      yield* call(Mutation.revokeSession, { id: Ids.toGlobal("Session", viewer.id) }, old(viewer))
      const guest = yield* call<Payload>(Mutation.signInAsGuest, {}, request())
      expect(yield* call<number>(Mutation.revokeAllSessions, {}, old(guest.viewer))).toBe(0)
    }))

  test("the password changes only for who gives the current one, and nothing else changes how one signs in", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const args = { handle: handle(), password: "correct horse" }
      const { viewer } = yield* call<Payload>(Mutation.signUp, args, request())
      const wrong = { current: "wrong horse", next: "battery staple" }
      expect((yield* Effect.flip(call(Mutation.changePassword, wrong, request(viewer))))._tag).toBe(
        "InvalidCredentials"
      )
      yield* call(Mutation.signIn, args, request())
      const taking = (name: string) =>
        [...contract.matchAll(/^ {4}(\w+)\(([^)]*)\)/gm)]
          .filter(([, , given]) => given!.includes(`${name}:`))
          .map(([, field]) => field)
      expect(taking("email")).toEqual(["signUp"])
      expect(taking("next")).toEqual(["changePassword"])
    }))

  test("signing out ends the session and clears its cookie", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const sessions = yield* Sessions
      const guest = yield* call<Payload>(Mutation.signInAsGuest, {}, request())
      const context = request(guest.viewer)
      expect(yield* call<boolean>(Mutation.signOut, {}, context)).toBe(true)
      expect(context.cookies).toEqual([null])
      expect((yield* Effect.flip(sessions.load(guest.token)))._tag).toBe("SessionExpired")
      expect(yield* ended(sessions, guest.viewer)).toBe("signed_out")
    }))

  test("sessions are listed with the current one marked, and revoked one by one or all", () =>
    Effect.gen(function* () {
      const { Mutation, types } = yield* UserPart.part
      const account = yield* person()
      const [one, two, three] = [yield* signedIn(account), yield* signedIn(account), yield* signedIn(account)]
      const listed = yield* call<ReadonlyArray<{ session: Session; current: boolean }>>(
        types.Viewer.sessions,
        {},
        request(two),
        two
      )
      expect(listed.length).toBe(3)
      expect(listed.filter(({ current }) => current).map(({ session }) => session.id)).toEqual([two.id])
      const id = Ids.toGlobal("Session", one.id)
      expect(yield* call<boolean>(Mutation.revokeSession, { id }, request(two))).toBe(true)
      expect((yield* Effect.flip(call(Mutation.revokeSession, { id }, request(two))))._tag).toBe("NotFound")
      const stranger = yield* signedIn(yield* person())
      const foreign = { id: Ids.toGlobal("Session", three.id) }
      expect((yield* Effect.flip(call(Mutation.revokeSession, foreign, request(stranger))))._tag).toBe("NotFound")
      expect(yield* call<number>(Mutation.revokeAllSessions, {}, request(two))).toBe(1)
      const last = request(two)
      expect(yield* call<number>(Mutation.revokeAllSessions, { exceptCurrent: false }, last)).toBe(1)
      expect(last.cookies).toEqual([null])
    }))

  test("who is connected is seen as such, and as talking while a talk goes on, but not across a block", () =>
    Effect.gen(function* () {
      const { Mutation, types } = yield* UserPart.part
      const [ada, bob, eve] = [yield* person(), yield* person(), yield* person()]
      const [forAda, forBob, forEve] = [yield* signedIn(ada), yield* signedIn(bob), yield* signedIn(eve)]
      for (const one of [ada, bob]) yield* (yield* Presence).connected(one.user.id)
      const seen = (by: Session | undefined, of: Account) => call<string>(types.User.presence, {}, request(by), of.user)
      yield* Effect.repeat(seen(forEve, bob), { until: (state) => state === "ONLINE" })
      yield* talk(ada, bob)
      expect([yield* seen(forAda, bob), yield* seen(forEve, bob)]).toEqual(["IN_INTERACTION", "IN_INTERACTION"])
      yield* call(Mutation.block, { userId: Ids.toGlobal("User", bob.user.id) }, request(forAda))
      expect([yield* seen(forAda, bob), yield* seen(forBob, ada)]).toEqual(["OFFLINE", "OFFLINE"])
      expect([yield* seen(forEve, bob), yield* seen(undefined, bob), yield* seen(forEve, eve)]).toEqual([
        "ONLINE",
        "ONLINE",
        "OFFLINE"
      ])
    }))

  test("blocking ends what the two have going", () =>
    Effect.gen(function* () {
      const { Mutation, types } = yield* UserPart.part
      const [ada, bob] = [yield* person(), yield* person()]
      const interactionId = yield* talk(ada, bob)
      const session = yield* signedIn(ada)
      const args = { userId: Ids.toGlobal("User", bob.user.id) }
      expect(yield* call<boolean>(Mutation.block, args, request(session))).toBe(true)
      expect(yield* call<boolean>(Mutation.block, args, request(session))).toBe(true)
      const found = (yield* (yield* Interactions).byIds([interactionId])).get(interactionId)!
      expect([found.state, found.endReason]).toEqual(["ENDED", "LEFT"])
      const page = yield* call<{ edges: ReadonlyArray<{ node: { id: string } }> }>(
        types.Viewer.blocked,
        {},
        request(session),
        session
      )
      expect(page.edges.map(({ node }) => node.id)).toEqual([bob.user.id])
      expect(yield* call<boolean>(Mutation.unblock, args, request(session))).toBe(true)
      const self = { userId: Ids.toGlobal("User", ada.user.id) }
      expect(pathsOf(yield* Effect.flip(call(Mutation.block, self, request(session))))).toEqual(["userId"])
    }))

  test("without a session nothing of it answers but the viewer, who is nobody", () =>
    Effect.gen(function* () {
      const part = yield* UserPart.part
      const userId = Ids.toGlobal("User", (yield* person()).user.id)
      expect(yield* call<unknown>(part.Query.viewer, {}, request())).toBe(null)
      for (const [field, args] of [
        [part.Query.user, { id: userId }],
        [part.Query.searchUsers, { text: "a" }],
        [part.Mutation.signOut, {}],
        [part.Mutation.updateProfile, { input: {} }],
        [part.Mutation.block, { userId }],
        [part.Mutation.revokeAllSessions, {}],
        [part.Mutation.changePassword, { current: "correct horse", next: "battery staple" }]
      ] as const)
        expect((yield* Effect.flip(call(field, args, request())))._tag).toBe("Unauthenticated")
    }))

  test("a user is found by id or by handle, not by both or neither, and a stranger's session by nobody", () =>
    Effect.gen(function* () {
      const part = yield* UserPart.part
      const [ada, bob] = [yield* person(), yield* person()]
      const context = request(yield* signedIn(ada))
      const id = Ids.toGlobal("User", bob.user.id)
      expect(yield* call<unknown>(part.Query.user, { id }, context)).toEqual(bob.user)
      expect(yield* call<unknown>(part.Query.user, { handle: bob.user.handle }, context)).toEqual(bob.user)
      expect(yield* call<unknown>(part.Query.user, { handle: "nobody_here" }, context)).toBe(null)
      expect(pathsOf(yield* Effect.flip(call(part.Query.user, {}, context)))).toEqual(["id"])
      expect(pathsOf(yield* Effect.flip(call(part.Query.user, { id: "ses_1" }, context)))).toEqual(["id"])
      const session = yield* signedIn(bob)
      const found = part.nodes.Session(session.id, context)
      expect(yield* found).toBe(null)
    }))
})
