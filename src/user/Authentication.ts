import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Settings } from "../config/Settings.ts"
import * as Ids from "../domain/Ids.ts"
import { ContentRejected } from "../errors.ts"
import { field, type Part, plain, type RequestContext, viewer } from "../graphql/Part.ts"
import * as Rules from "../moderation/Rules.ts"
import { RateLimiter, rules } from "../rate/RateLimiter.ts"
import { type Begun, Sessions, type Session } from "../session/Sessions.ts"
import { Email } from "./Email.ts"
import * as Guesses from "./Guesses.ts"
import { NewHandle } from "./Handles.ts"
import { ClaimedPassword, NewPassword } from "./Passwords.ts"
import { ProfileInput } from "./User.ts"
import { type Account, type Proven, Users } from "./Users.ts"

/** What `AuthPayload` resolves from; the viewer of a sign-in is its new session. */
interface AuthPayload {
  readonly token: string
  readonly expiresAt: Date
  readonly viewer: Session
}

const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optional(Schema.NullOr(schema))

const SignUp = Schema.Struct({
  handle: NewHandle,
  password: NewPassword,
  email: optional(Email),
  profile: optional(ProfileInput)
})
const SignIn = Schema.Struct({ handle: Schema.String, password: ClaimedPassword })
const SignInAsGuest = Schema.Struct({ profile: optional(ProfileInput) })
const RevokeSession = Schema.Struct({ id: Ids.Global("Session", Ids.SessionId), password: optional(ClaimedPassword) })
const RevokeAllSessions = Schema.Struct({
  exceptCurrent: optional(Schema.Boolean),
  password: optional(ClaimedPassword)
})
const ChangePassword = Schema.Struct({ current: ClaimedPassword, next: NewPassword })

/** Who signed in so lately may end their other sessions without giving the password again. */
export const provenFor = Duration.minutes(15)

/** What strangers will read of someone must not be what a message may not say. */
export const refuseUnfit = (profile: ProfileInput, handle?: string): Effect.Effect<void, ContentRejected> =>
  Effect.forEach(
    [handle?.replaceAll("_", " "), profile.displayName, profile.bio, ...(profile.interests ?? [])],
    (text) => {
      const { verdict, rule } = Rules.judge(text ?? "")
      return verdict === "HOLD" || verdict === "REJECT"
        ? Effect.fail(new ContentRejected({ rule: rule ?? "text" }))
        : Effect.void
    },
    { discard: true }
  )

/** Signing up, in and out: the mutations that make, change and end sessions. */
export const mutations = Effect.gen(function* () {
  const users = yield* Users
  const sessions = yield* Sessions
  const limiter = yield* RateLimiter
  const guesses = yield* Guesses.make
  const { absolute } = (yield* Settings).session

  /** The cookie lasts for as long as use may carry the session: it is set this once. */
  const signedIn = ({ session, token }: Begun, request: RequestContext): AuthPayload => {
    const expiresAt = new Date(session.createdAt.getTime() + Duration.toMillis(absolute))
    request.setSessionCookie(Option.some({ value: token, expiresAt }))
    return { token, expiresAt: session.expiresAt, viewer: session }
  }

  /** Who signs in again gets a new session for the old one; somebody else's session in the request is not touched. */
  const begin = (account: Account | Proven, request: RequestContext) => {
    const before = Option.filter(request.session, ({ userId }) => userId === account.user.id)
    const created = sessions.create(account.user.id, {
      userAgent: request.userAgent,
      ...("passwordHash" in account ? { passwordHash: account.passwordHash } : {}),
      ...Option.match(before, { onNone: () => ({}), onSome: ({ id }) => ({ replacing: id }) })
    })
    return Effect.map(created, (begun) => signedIn(begun, request))
  }

  const end = (session: Session) =>
    Effect.catchTag(sessions.revoke(session.userId, session.id, "signed_out"), "NotFound", () => Effect.void)

  /** A stolen session must not lock out its owner: after a while it takes the password to end others. */
  const prove = (session: Session, password: Redacted.Redacted | undefined) =>
    Effect.gen(function* () {
      const age = (yield* Clock.currentTimeMillis) - session.createdAt.getTime()
      if (age <= Duration.toMillis(provenFor)) return
      if (password !== undefined) yield* limiter.consume({ rule: rules.signInAccount, key: `user:${session.userId}` })
      yield* users.prove(session.userId, password)
    })

  const changePassword = (session: Session, { current, next }: typeof ChangePassword.Type, request: RequestContext) =>
    Effect.gen(function* () {
      yield* limiter.consume({ rule: rules.signInAccount, key: `user:${session.userId}` })
      const change = yield* users.changePassword(session.userId, current, next)
      const { userAgent } = request
      const begun = yield* sessions.replaceAll(session.userId, { change, reason: "password_changed", userAgent })
      return signedIn(begun, request)
    })

  return {
    signUp: field(SignUp, ({ handle, password, email, profile }, request) =>
      Effect.gen(function* () {
        yield* limiter.consume({ rule: rules.signUp, key: request.address })
        yield* refuseUnfit(profile ?? {}, handle)
        const account = yield* users.create({ handle, password, email: email ?? null, profile: profile ?? {} })
        yield* guesses.know(handle, request.address)
        return yield* begin(account, request)
      })
    ),
    signIn: field(SignIn, ({ handle, password }, request) =>
      Effect.gen(function* () {
        yield* limiter.consume({ rule: rules.signIn, key: request.address })
        yield* limiter.consume(yield* guesses.charge(handle, request.address))
        const account = yield* users.authenticate(handle, password)
        yield* guesses.know(handle, request.address)
        return yield* begin(account, request)
      })
    ),
    signInAsGuest: field(SignInAsGuest, ({ profile }, request) =>
      Effect.gen(function* () {
        yield* limiter.consume({ rule: rules.signUp, key: request.address })
        yield* refuseUnfit(profile ?? {})
        return yield* begin(yield* users.createGuest(profile ?? {}), request)
      })
    ),
    signOut: plain((_: unknown, request) =>
      Effect.gen(function* () {
        yield* end(yield* viewer(request))
        request.setSessionCookie(Option.none())
        return true
      })
    ),
    revokeSession: field(RevokeSession, ({ id, password }, request) =>
      Effect.gen(function* () {
        const session = yield* viewer(request)
        if (id !== session.id) yield* prove(session, password ?? undefined)
        yield* sessions.revoke(session.userId, id, "revoked")
        if (id === session.id) request.setSessionCookie(Option.none())
        return true
      })
    ),
    revokeAllSessions: field(RevokeAllSessions, ({ exceptCurrent, password }, request) =>
      Effect.gen(function* () {
        const session = yield* viewer(request)
        yield* prove(session, password ?? undefined)
        if (exceptCurrent ?? true) return yield* sessions.revokeAll(session.userId, "revoked", session.id)
        request.setSessionCookie(Option.none())
        return yield* sessions.revokeAll(session.userId, "revoked")
      })
    ),
    changePassword: field(ChangePassword, (args, request) =>
      Effect.flatMap(viewer(request), (session) => changePassword(session, args, request))
    )
  } satisfies Part["Mutation"]
})
