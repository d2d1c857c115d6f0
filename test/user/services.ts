import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Reminders from "../../src/actor/Reminders.ts"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import * as Tags from "../../src/cache/Tags.ts"
import * as Messages from "../../src/communication/Messages.ts"
import * as Settings from "../../src/config/Settings.ts"
import type { UserId } from "../../src/domain/Ids.ts"
import type { ConnectError } from "../../src/errors.ts"
import * as Cursor from "../../src/graphql/Cursor.ts"
import * as Failures from "../../src/graphql/Failures.ts"
import type { Field, RequestContext } from "../../src/graphql/Part.ts"
import * as EventLog from "../../src/interaction/EventLog.ts"
import * as InteractionActor from "../../src/interaction/InteractionActor.ts"
import * as Interactions from "../../src/interaction/Interactions.ts"
import * as ReadMarks from "../../src/interaction/ReadMarks.ts"
import * as Actions from "../../src/moderation/Actions.ts"
import * as Audit from "../../src/moderation/Audit.ts"
import * as EnforcementActor from "../../src/moderation/EnforcementActor.ts"
import * as Reports from "../../src/moderation/Reports.ts"
import * as Restrictions from "../../src/moderation/Restrictions.ts"
import * as Queue from "../../src/queuing/Queue.ts"
import * as QueueActor from "../../src/queuing/QueueActor.ts"
import * as RateLimiter from "../../src/rate/RateLimiter.ts"
import type { Session } from "../../src/session/Sessions.ts"
import * as Sessions from "../../src/session/Sessions.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import * as Blocks from "../../src/user/Blocks.ts"
import { Passwords } from "../../src/user/Passwords.ts"
import * as Presence from "../../src/user/Presence.ts"
import * as UserActor from "../../src/user/UserActor.ts"
import { type Account, Users } from "../../src/user/Users.ts"
import * as UsersModule from "../../src/user/Users.ts"
import * as Postgres from "../kit/Postgres.ts"

/** Hashes that cost nothing; a journal of what was verified. */
export const verified: Array<"real" | "dummy"> = []
const layerPasswords = Layer.succeed(Passwords, {
  hash: (password) => Effect.succeed(`$argon2id$v=19$m=19456,t=2,p=1$${Redacted.value(password)}`),
  verify: (password, hash) =>
    Effect.sync(() => {
      verified.push("real")
      return hash.endsWith(`$${Redacted.value(password)}`)
    }),
  dummyVerify: () => Effect.sync(() => void verified.push("dummy"))
})

const interaction = InteractionActor.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(EventLog.layer, ReadMarks.layer, Interactions.layer))
)

/** Every service on a fresh database of a real Postgres, with the store in memory. */
export const layerWith = (settings: Layer.Layer<Settings.Settings>) =>
  Layer.merge(Actions.layer, EnforcementActor.layer).pipe(
    Layer.provideMerge(Reports.layer),
    Layer.provideMerge(Layer.mergeAll(Audit.layer, Queue.layer, Messages.layer)),
    Layer.provideMerge(QueueActor.layer),
    Layer.provideMerge(
      Layer.mergeAll(UsersModule.layer, Blocks.layer, Presence.layer, Restrictions.layer, interaction)
    ),
    Layer.provideMerge(UserActor.layer),
    Layer.provideMerge(Layer.mergeAll(Sessions.layer, RateLimiter.layer, Cursor.layer, layerPasswords)),
    Layer.provideMerge(Reminders.layer),
    Layer.provideMerge(Layer.mergeAll(Broadcast.layerLocal, ActorSystem.layerLocal)),
    Layer.provideMerge(Layer.mergeAll(Postgres.layerDatabase, Layer.provideMerge(Tags.layer, StoreMemory.layer))),
    Layer.provideMerge(settings)
  )

export const layer = layerWith(Settings.layerTest())

let made = 0

/** A new person. */
export const person = (profile: Parameters<Users["Type"]["createGuest"]>[0] = {}) =>
  Effect.flatMap(Users, (users) =>
    users.create({
      handle: `person_${++made}`,
      password: Redacted.make("correct horse"),
      email: null,
      profile
    })
  )

/** A request of nobody, or of the session's owner; `cookies` tells what was set. */
export const request = (session?: Session): RequestContext & { readonly cookies: Array<string | null> } => {
  const cookies: Array<string | null> = []
  return {
    session: Option.fromNullable(session),
    token: Option.none(),
    address: "192.0.2.1",
    userAgent: Option.some("test"),
    memo: new Map(),
    cookies,
    setSessionCookie: (cookie) => cookies.push(Option.getOrNull(Option.map(cookie, ({ value }) => value)))
  }
}

/** A session of a person. */
export const signedIn = (account: Account) =>
  Effect.flatMap(Sessions.Sessions, (sessions) =>
    Effect.map(sessions.create(account.user.id as UserId, { userAgent: Option.none() }), ({ session }) => session)
  )

/** Calls a resolver as the gateway does: arguments decoded first. */
export const call = <A>(
  field: Field,
  args: unknown,
  context: RequestContext,
  parent?: unknown
): Effect.Effect<A, ConnectError> =>
  Effect.suspend(() => {
    const decoded = field.args
      ? ParseResult.decodeUnknownEither(field.args, { errors: "all", onExcessProperty: "error" })(args)
      : Either.right(args)
    if (Either.isLeft(decoded)) return Effect.fail(Failures.fromIssue(decoded.left))
    const value = field.resolve(parent as never, decoded.right as never, context)
    return (Effect.isEffect(value) ? value : Effect.succeed(value)) as Effect.Effect<A, ConnectError>
  })
