import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tags from "../../../src/cache/Tags.ts"
import type { Shape } from "../../../src/config/Settings.ts"
import * as Settings from "../../../src/config/Settings.ts"
import type { SessionId, UserId } from "../../../src/domain/Ids.ts"
import * as Ids from "../../../src/domain/Ids.ts"
import * as Uuid from "../../../src/domain/Uuid.ts"
import { NotFound, RateLimited, SessionExpired } from "../../../src/errors.ts"
import * as Batcher from "../../../src/request/Batcher.ts"
import type { Part, RequestContext } from "../../../src/graphql/Part.ts"
import { field, memo, plain, subscription, viewer } from "../../../src/graphql/Part.ts"
import { RateLimiter } from "../../../src/rate/RateLimiter.ts"
import type { EndReason, Session } from "../../../src/session/Sessions.ts"
import { Sessions } from "../../../src/session/Sessions.ts"
import * as StoreMemory from "../../../src/store/StoreMemory.ts"
import * as Health from "../../../src/telemetry/Health.ts"
import * as Http from "../../../layers/Http.ts"

/** What the fixture's resolvers did, for tests to look at. */
export class Journal extends Context.Tag("test/Journal")<
  Journal,
  {
    batches: Array<ReadonlyArray<string>>
    opened: number
    closed: number
    interrupted: number
    reports: number
    feedsOpened: number
    feedsClosed: number
    /** Looks for a session, each of which is a use of it. */
    sessionsUsed: number
  }
>() {}

/** The size of what each event of `moderationFeed` says. */
export const reportBytes = 65_536

interface Live {
  readonly session: Session
  readonly watchers: Set<(reason: EndReason) => void>
}

/** Sessions without a database: enough for what the HTTP surface asks of them. */
const SessionsMemory = Layer.effect(
  Sessions,
  Effect.map(Journal, (journal) => {
    const live = new Map<string, Live>()
    const end = (token: string, reason: EndReason) => {
      const found = live.get(token)
      live.delete(token)
      return Effect.sync(() => {
        for (const told of found?.watchers ?? []) told(reason)
      })
    }
    return {
      create: (userId, { userAgent }) =>
        Effect.gen(function* () {
          const id = (yield* Uuid.v7) as SessionId
          const token = `token-${id}`
          const session: Session = {
            id,
            userId,
            role: "USER",
            createdAt: new Date(0),
            lastUsedAt: new Date(0),
            expiresAt: new Date(8.64e15),
            userAgent: Option.getOrNull(userAgent)
          }
          live.set(token, { session, watchers: new Set() })
          return { token, session }
        }),
      known: () => undefined,
      revokeEverybody: () => Effect.succeed(0),
      replaceAll: () => Effect.dieMessage("Nobody changes a password here"),
      load: (token) => {
        journal.sessionsUsed++
        const found = live.get(token)
        return found === undefined ? Effect.fail(new SessionExpired()) : Effect.succeed(found.session)
      },
      list: () => Effect.succeed([]),
      revoke: (_, sessionId, reason) => {
        const token = `token-${sessionId}`
        return live.has(token) ? Effect.asVoid(end(token, reason)) : Effect.fail(new NotFound({ what: "Session" }))
      },
      revokeAll: (_, reason) =>
        Effect.map(
          Effect.forEach([...live.keys()], (token) => end(token, reason)),
          (all) => all.length
        ),
      whenEnded: (session, told) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const found = live.get(`token-${session.id}`)
            if (found === undefined) told("revoked")
            found?.watchers.add(told)
            return found
          }),
          (found) => Effect.sync(() => found?.watchers.delete(told))
        ).pipe(Effect.asVoid),
      sweep: Effect.succeed({ expired: 0, deleted: 0 }),
      stats: Effect.succeed({ active: 0, created: 0, ended: 0, endedBy: {}, meanSeconds: Number.NaN })
    }
  })
)

/** The address 203.0.113.9 (documentation only) has no calls left; everybody else has. */
const limiter = Layer.succeed(RateLimiter, {
  counted: () => undefined,
  consume: (...charges) =>
    charges.some(({ key }) => key === "203.0.113.9")
      ? Effect.fail(new RateLimited({ retryAfterMillis: 1_500, rule: "ip" }))
      : Effect.succeed(charges.map(({ rule }) => ({ rule, remaining: 4, resetMillis: 900 })))
})

const person = (id: string, handle: string) => ({
  id,
  handle,
  displayName: handle.toUpperCase(),
  bio: null,
  interests: ["chess"],
  languages: ["en"],
  region: null,
  presence: "ONLINE",
  createdAt: new Date(0)
})

const zero = "00000000-0000-7000-8000-00000000000"
const people = new Map(["ada", "bob", "cyd"].map((handle, i) => [`${zero}${i}`, person(`${zero}${i}`, handle)]))
const idOf = (handle: string) => [...people.values()].find((one) => one.handle === handle)?.id

/** A part of our own over people in memory: every way a resolver can answer is in it. */
export const part: Effect.Effect<Part, never, Sessions | Journal> = Effect.gen(function* () {
  const sessions = yield* Sessions
  const journal = yield* Journal

  const load = (request: RequestContext, id: string) =>
    memo(request, "people", () =>
      Batcher.make((ids: ReadonlyArray<string>) => {
        journal.batches.push([...ids])
        return Effect.as(Effect.yieldNow(), people)
      })
    ).load(id)

  const signIn = (request: RequestContext) =>
    Effect.map(sessions.create(`${zero}0` as UserId, { userAgent: request.userAgent }), ({ session, token }) => {
      request.setSessionCookie(Option.some({ value: token, expiresAt: session.expiresAt }))
      return { token, expiresAt: session.expiresAt, viewer: session }
    })

  const stuck = Effect.onInterrupt(Effect.never, () =>
    Effect.sync(() => {
      journal.interrupted++
    })
  )

  const ticks = (everyMillis: number) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        journal.opened++
        return Stream.map(Stream.fromSchedule(Schedule.spaced(everyMillis)), (waiting) => ({
          waiting,
          matchesPerMinute: 0,
          waitMillisP50: 0,
          waitMillisP95: 0
        }))
      }),
      () =>
        Effect.sync(() => {
          journal.closed++
        })
    )

  return {
    Query: {
      queueStats: plain(() => ({ waiting: 3, matchesPerMinute: 0.5, waitMillisP50: 10, waitMillisP95: 20 })),
      viewer: plain((_, request) => viewer(request)),
      user: field(
        Schema.Struct({
          id: Schema.optional(Schema.NullOr(Ids.Global("User", Ids.UserId))),
          handle: Schema.optional(
            Schema.NullOr(Schema.String.pipe(Schema.maxLength(24, { message: () => "is too long" })))
          )
        }),
        ({ id, handle }, request) =>
          Effect.flatMap(load(request, id ?? idOf(handle ?? "") ?? ""), (found) =>
            Option.isSome(found) ? Effect.succeed(found.value) : Effect.fail(new NotFound({ what: "User" }))
          )
      )
    },
    Mutation: {
      signInAsGuest: field(Schema.Struct({ profile: Schema.optional(Schema.Unknown) }), (_, request) =>
        signIn(request)
      ),
      signOut: plain((_, request) =>
        Effect.gen(function* () {
          const session = yield* viewer(request)
          yield* sessions.revoke(session.userId, session.id, "signed_out")
          request.setSessionCookie(Option.none())
          return true
        })
      ),
      leaveQueue: plain(() => stuck),
      revokeAllSessions: field(
        Schema.Struct({ exceptCurrent: Schema.Boolean, password: Schema.optional(Schema.NullOr(Schema.String)) }),
        () => Effect.as(Effect.sleep("300 millis"), 7)
      ),
      block: field(Schema.Struct({ userId: Schema.String }), () => Effect.dieMessage("the secret of the cellar"))
    },
    Subscription: {
      queueStats: subscription(
        Schema.Struct({
          everyMillis: Schema.Int.pipe(Schema.filter((n) => (n >= 1 && n <= 60_000) || "must be 1 to 60000"))
        }),
        ({ everyMillis }) => ticks(everyMillis)
      ),
      moderationFeed: subscription(Schema.Struct({}), () =>
        Effect.sync(() => {
          journal.feedsOpened++
          return Stream.repeatEffect(
            Effect.as(
              Effect.tap(Effect.yieldNow(), () => void journal.reports++),
              { details: "x".repeat(reportBytes) }
            )
          ).pipe(Stream.ensuring(Effect.sync(() => void journal.feedsClosed++)))
        })
      ),
      inbox: subscription(Schema.Struct({}), (_, request) =>
        Effect.map(viewer(request), () =>
          Stream.concat(Stream.make({ _tag: "SessionRevoked", reason: "first" }), Stream.fail(new SessionExpired()))
        )
      )
    },
    types: {
      Viewer: {
        user: plain((session: Session, request) => Effect.map(load(request, session.userId), Option.getOrUndefined)),
        blocked: field(Schema.Struct({ first: Schema.Int, after: Schema.optional(Schema.Unknown) }), (_, request) =>
          Effect.map(
            Effect.forEach([...people.keys()], (id) => load(request, id), { concurrency: "unbounded" }),
            (all) => ({
              edges: all.map((found) => ({ node: Option.getOrThrow(found), cursor: "c" })),
              pageInfo: { hasNextPage: false, hasPreviousPage: false }
            })
          )
        )
      }
    },
    nodes: { User: (uuid) => people.get(uuid) ?? null }
  }
})

/** More than what the kernel takes for a client that does not read. */
export const largeBytes = 32_000_000

const large: Http.Route = {
  path: "/large",
  handler: () => ({ status: 200, headers: { "content-type": "text/plain" }, body: "x".repeat(largeBytes) })
}

/** A server of the fixture on a free port, with settings changed by `change`. */
export const server = (change: (settings: Shape) => Shape = (settings) => settings) =>
  Http.serve({ name: "fixture", port: 0, parts: Effect.all([part]), routes: [large] }).pipe(
    Layer.provideMerge(Layer.mergeAll(SessionsMemory, Health.layer)),
    Layer.provideMerge(Layer.merge(limiter, Tags.layer)),
    Layer.provide(StoreMemory.layer),
    Layer.provideMerge(
      Layer.sync(Journal, () => ({
        batches: [] as Array<ReadonlyArray<string>>,
        opened: 0,
        closed: 0,
        interrupted: 0,
        reports: 0,
        feedsOpened: 0,
        feedsClosed: 0,
        sessionsUsed: 0
      }))
    ),
    Layer.provide(
      Settings.layerTest((settings) =>
        change({ ...settings, http: { ...settings.http, explorer: true }, rateLimit: { enabled: true } })
      )
    )
  )
