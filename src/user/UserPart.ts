import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Ids from "../domain/Ids.ts"
import type { InteractionId, UserId } from "../domain/Ids.ts"
import type { Connection } from "../domain/Page.ts"
import { invalid } from "../errors.ts"
import * as Batcher from "../request/Batcher.ts"
import * as PageArgs from "../graphql/PageArgs.ts"
import { field, memo, type Part, plain, type RequestContext, viewer } from "../graphql/Part.ts"
import { InteractionActor } from "../interaction/InteractionActor.ts"
import { Interactions } from "../interaction/Interactions.ts"
import { Sessions, type Session } from "../session/Sessions.ts"
import * as Authentication from "./Authentication.ts"
import { Blocks } from "./Blocks.ts"
import { Presence, type State } from "./Presence.ts"
import { ProfileInput, type User } from "./User.ts"
import * as UserLoader from "./UserLoader.ts"
import { Users } from "./Users.ts"
import { SearchText, searchResultsMax } from "./UserSearch.ts"

const GlobalUserId = Ids.Global("User", Ids.UserId)
const FindUser = Schema.Struct({
  id: Schema.optional(Schema.NullOr(GlobalUserId)),
  handle: Schema.optional(Schema.NullOr(Schema.String))
})
const SearchUsers = Schema.Struct({ text: SearchText, ...PageArgs.forward(20, searchResultsMax) })
const UpdateProfile = Schema.Struct({ input: ProfileInput })
const OtherUser = Schema.Struct({ userId: GlobalUserId })
const Page = Schema.Struct(PageArgs.forward(20))

/** A session as its owner sees it. */
interface ListedSession {
  readonly session: Session
  readonly current: boolean
}

/** How viewers see each other's presence. One batch per request. */
const presenceLoader = Effect.map(Presence, (presence) => {
  const key = Symbol("presence")
  const seenBy = (request: RequestContext) => (ids: ReadonlyArray<UserId>) =>
    presence.of(ids, Option.getOrNull(Option.map(request.session, ({ userId }) => userId)))
  return (request: RequestContext, id: UserId) =>
    memo(request, key, () => Batcher.make(seenBy(request))).read(id, (found) =>
      Exit.succeed(Option.getOrElse(found, (): State => "OFFLINE"))
    )
})

/** The account of the viewer, read once per request for `email` and `role`. */
const accountLoader = Effect.map(Users, (users) => {
  const key = Symbol("account")
  return (request: RequestContext, id: UserId) =>
    Effect.flatten(
      memo(request, key, () =>
        Batcher.make((ids: ReadonlyArray<UserId>) =>
          Effect.map(
            Effect.forEach(ids, (one) => users.account(one)),
            (all) => new Map(all.map((a) => [a.user.id, a]))
          )
        )
      ).load(id)
    )
})

const types = Effect.gen(function* () {
  const sessions = yield* Sessions
  const blocks = yield* Blocks
  const users = yield* Users
  const loader = yield* UserLoader.make
  const loadPresence = yield* presenceLoader
  const loadAccount = yield* accountLoader

  const shown = (page: Connection<UserId>) =>
    Effect.map(users.byIds(page.edges.map((edge) => edge.node)), (people): Connection<User> => ({
      pageInfo: page.pageInfo,
      edges: page.edges.flatMap(({ node, cursor }) => {
        const user = people.get(node)
        return user ? [{ node: user, cursor }] : []
      })
    }))

  return {
    User: {
      id: plain((user: User) => Ids.toGlobal("User", user.id)),
      presence: plain((user: User, request) => loadPresence(request, user.id))
    },
    Session: {
      id: plain(({ session }: ListedSession) => Ids.toGlobal("Session", session.id)),
      createdAt: plain(({ session }: ListedSession) => session.createdAt),
      lastUsedAt: plain(({ session }: ListedSession) => session.lastUsedAt),
      expiresAt: plain(({ session }: ListedSession) => session.expiresAt),
      userAgent: plain(({ session }: ListedSession) => session.userAgent)
    },
    // A Viewer resolves from the viewer's Session, which a sign-in has before its request does.
    Viewer: {
      user: plain((session: Session, request) => loader.load(request, session.userId)),
      email: plain((session: Session, request) =>
        Effect.map(loadAccount(request, session.userId), (account) => account.email)
      ),
      // A session ends when its user's role changes.
      role: plain((session: Session) => session.role),
      sessions: plain((session: Session) =>
        Effect.map(sessions.list(session.userId), (all) =>
          all.map((one): ListedSession => ({ session: one, current: one.id === session.id }))
        )
      ),
      blocked: field(Page, ({ first, after }, _, session: Session) =>
        Effect.flatMap(blocks.page({ blocker: session.userId, first, after: after ?? null }), shown)
      )
    }
  } satisfies Part["types"]
})

const mutations = Effect.gen(function* () {
  const users = yield* Users
  const blocks = yield* Blocks
  const interactions = yield* Interactions
  const actors = yield* InteractionActor.client

  /** Leaving what is gone already is done. */
  const leave = (userId: UserId, interactionId: InteractionId) =>
    Effect.catchTags(actors.ask(interactionId).Leave({ userId }), {
      NotFound: () => Effect.void,
      InteractionEnded: () => Effect.void
    })

  return {
    updateProfile: field(UpdateProfile, ({ input }, request) =>
      Effect.gen(function* () {
        const { userId } = yield* viewer(request)
        yield* Authentication.refuseUnfit(input)
        return yield* users.updateProfile(userId, input)
      })
    ),
    block: field(OtherUser, ({ userId }, request) =>
      Effect.gen(function* () {
        const session = yield* viewer(request)
        yield* blocks.block(session.userId, userId)
        const shared = yield* interactions.active(session.userId, userId)
        yield* Effect.forEach(shared, (id) => leave(session.userId, id), { discard: true })
        return true
      })
    ),
    unblock: field(OtherUser, ({ userId }, request) =>
      Effect.flatMap(viewer(request), (session) => blocks.unblock(session.userId, userId))
    )
  } satisfies Part["Mutation"]
})

/** What the user service resolves: people, sessions, blocks and the viewer. */
export const part = Effect.gen(function* () {
  const users = yield* Users
  const sessions = yield* Sessions

  return {
    Query: {
      // Nobody without a token; with one that is no good any more the client must learn to sign in again.
      viewer: plain((_: unknown, request) =>
        request.sessionFailure === undefined ? Option.getOrNull(request.session) : Effect.fail(request.sessionFailure)
      ),
      user: field(FindUser, ({ id, handle }, request) =>
        Effect.gen(function* () {
          yield* viewer(request)
          if (id != null && handle != null) return yield* invalid("handle", "cannot go together with id")
          if (id != null) return Option.getOrNull(yield* users.byId(id))
          if (handle != null) return Option.getOrNull(yield* users.byHandle(handle))
          return yield* invalid("id", "is missing: give id or handle")
        })
      ),
      searchUsers: field(SearchUsers, ({ text, first, after }, request) =>
        Effect.flatMap(viewer(request), () => users.search({ text, first, after: after ?? null }))
      )
    },
    Mutation: { ...(yield* Authentication.mutations), ...(yield* mutations) },
    types: yield* types,
    nodes: {
      User: (uuid, request) =>
        Effect.flatMap(viewer(request), () => Effect.map(users.byId(Ids.UserId.make(uuid)), Option.getOrNull)),
      Session: (uuid, request) =>
        Effect.flatMap(viewer(request), (own) =>
          Effect.map(sessions.list(own.userId), (all) => {
            const session = all.find((one) => one.id === uuid)
            return session ? ({ session, current: session.id === own.id } satisfies ListedSession) : null
          })
        )
    }
  } satisfies Part
})
