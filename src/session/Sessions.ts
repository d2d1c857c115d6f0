import * as SqlClient from "@effect/sql/SqlClient"
import * as Arr from "effect/Array"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Supervised from "../actor/Supervised.ts"
import { Broadcast } from "../broadcast/Broadcast.ts"
import * as Cache from "../cache/Cache.ts"
import { Settings } from "../config/Settings.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import * as Ids from "../domain/Ids.ts"
import { type DatabaseUnavailable, NotFound, SessionExpired } from "../errors.ts"
import type { Store } from "../store/Store.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Endings } from "./Endings.ts"
import { type Ended, type EndReason, type Role, Session } from "./Session.ts"
import * as SessionRows from "./SessionRows.ts"
import * as Token from "./Token.ts"

export { type EndReason, Role, Session } from "./Session.ts"

/** Sessions in this process's memory, and for how long; one that ended elsewhere while Redis is away lives on for that. */
export const near = { entriesMax: 20_000, ttl: "10 seconds" } as const
/** Sessions in the Store: a revocation that Redis missed is over after this at the latest. Also how often one is renewed. */
export const storeTtl = "1 minute"
/** That a token is unknown is remembered this long. */
export const unknownTtl = "10 seconds"
/** What is kept of a User-Agent header. */
export const userAgentMax = 256

/**
 * Who is signed in. Postgres holds every session (only the SHA-256 of its token); the Store and a near cache answer
 * `load`. At the limit per user (`Settings.session.perUserMax`) the session unused for longest ends.
 */
export class Sessions extends Context.Tag("@connect/Sessions")<
  Sessions,
  {
    /** A new session. `token` (256 random bits, base64url) is shown this once. */
    readonly create: (
      userId: Ids.UserId,
      role: Role,
      userAgent: Option.Option<string>
    ) => Effect.Effect<{ readonly token: string; readonly session: Session }, DatabaseUnavailable>
    /** The session of a token; extends its idle time now and then. */
    readonly load: (token: string) => Effect.Effect<Session, SessionExpired | DatabaseUnavailable>
    /** Live sessions of a user, the last used first. */
    readonly list: (userId: Ids.UserId) => Effect.Effect<ReadonlyArray<Session>, DatabaseUnavailable>
    /** Ends one session of that user, on every node, its sockets included. NotFound when it is not theirs or not live. */
    readonly revoke: (
      userId: Ids.UserId,
      sessionId: Ids.SessionId,
      reason: EndReason
    ) => Effect.Effect<void, NotFound | DatabaseUnavailable>
    /** Ends all but `except`; returns how many. */
    readonly revokeAll: (
      userId: Ids.UserId,
      reason: EndReason,
      except?: Ids.SessionId
    ) => Effect.Effect<number, DatabaseUnavailable>
    /** Completes with the reason when that session ends early. For sockets: race it. */
    readonly ended: (session: Session) => Effect.Effect<EndReason>
    /** Ends what has expired and deletes what ended long ago, a bounded number of each; for a fiber that runs it now and then. */
    readonly sweep: Effect.Effect<{ readonly expired: number; readonly deleted: number }, DatabaseUnavailable>
    /** `active` in the database, or as last known while it is away; the others since this process started. */
    readonly stats: Effect.Effect<{ readonly active: number; readonly created: number; readonly ended: number }>
  }
>() {}

const now = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis))

/** Nothing that Postgres cannot hold or that is longer than anybody reads. */
const tidy = (userAgent: string): string => userAgent.replaceAll("\u0000", "").slice(0, userAgentMax)

interface Figures {
  active: number
  created: number
  ended: number
}

/** The figures ask the database for the number of live sessions at most this often. */
const countEvery = "15 seconds"

/** Everything that follows when rows have been ended: caches forget them, sockets close, figures count. */
const ending = (
  cache: Cache.Cache<string, Session, DatabaseUnavailable>,
  broadcast: typeof Broadcast.Service,
  figures: Figures
) => {
  const one = (userId: string, rows: ReadonlyArray<SessionRows.EndedRow>, reason: EndReason) =>
    Effect.gen(function* () {
      if (rows.length === 0) return
      const at = yield* Clock.currentTimeMillis
      yield* cache.invalidate(...rows.map((row) => Token.fromBytes(row.token_hash)))
      const ended: Ended = { userId, sessionIds: rows.map((row) => row.id), reason }
      yield* broadcast.publish("session", ended)
      figures.ended += rows.length
      yield* Metric.incrementBy(Metrics.series(Metrics.sessionsEnded, reason), rows.length)
      for (const row of rows) yield* Metric.update(Metrics.sessionSeconds, (at - +new Date(row.created_at)) / 1_000)
    })
  return (rows: ReadonlyArray<SessionRows.EndedRow>, reason: EndReason) =>
    Effect.forEach(
      Object.entries(Arr.groupBy(rows, (row) => row.user_id)),
      ([userId, theirs]) => one(userId, theirs, reason),
      { discard: true }
    )
}

/** Sockets wait here for the end of their session, wherever it is ended. */
const listening = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    const broadcast = yield* Broadcast
    const endings = new Endings()
    const check = (ids: ReadonlyArray<string>) =>
      Effect.forEach(
        Chunk.chunksOf(Chunk.fromIterable(ids), SessionRows.sweepMax),
        (some) =>
          Effect.map(SessionRows.over(sql, Chunk.toReadonlyArray(some)), (rows) => {
            for (const row of rows) endings.end(row.id, row.end_reason)
          }),
        { discard: true }
      ).pipe(orUnavailable, Effect.ignore)
    const signals = yield* broadcast.subscribe<Ended>("session")
    yield* Supervised.fork({
      name: "session signals",
      effect: Stream.runForEach(signals, (signal) => {
        if (signal._tag === "Gap") return check(endings.sessionIds)
        return Effect.sync(() => {
          for (const id of signal.message.sessionIds) endings.end(id, signal.message.reason)
        })
      })
    })
    // It may have ended between the load and the wait.
    return (session: Session) => endings.wait(session.id, check([session.id]))
  })

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { session: limits } = yield* Settings
  const cache = yield* Cache.make({
    name: "session",
    key: (hash: string) => hash,
    schema: Session,
    ttl: storeTtl,
    near,
    negativeTtl: unknownTtl,
    lookup: (hash) => orUnavailable(Effect.flatMap(now, (at) => SessionRows.find(sql, limits, hash, at)))
  })
  const figures: Figures = { active: 0, created: 0, ended: 0 }
  const finish = ending(cache, yield* Broadcast, figures)
  const ended = yield* listening(sql)
  const count = yield* Effect.flatMap(now, (at) => SessionRows.countLive(sql, at)).pipe(
    Effect.flatMap((active) => Metric.set(Metrics.sessionsActive, (figures.active = active))),
    Effect.ignore,
    Effect.cachedWithTTL(countEvery)
  )
  return Sessions.of({
    create: (userId, _, userAgent) =>
      Effect.gen(function* () {
        const token = yield* Token.make
        const hash = Token.hash(token)
        const row = { id: yield* Ids.make(Ids.SessionId), userId, hash, now: yield* now }
        const made = yield* SessionRows.insert(sql, limits, { ...row, userAgent: Option.map(userAgent, tidy) })
        figures.created++
        yield* Metric.increment(Metrics.sessionsCreated)
        yield* finish(made.ended, "limit")
        return { token, session: made.session }
      }).pipe(orUnavailable),
    load: (token) => {
      if (!Token.wellFormed(token)) return new SessionExpired()
      return Effect.flatMap(cache.get(Token.hash(token)), (found) =>
        Effect.clockWith((clock) =>
          Option.isSome(found) && found.value.expiresAt.getTime() > clock.unsafeCurrentTimeMillis()
            ? Effect.succeed(found.value)
            : new SessionExpired()
        )
      )
    },
    list: (userId) => orUnavailable(Effect.flatMap(now, (at) => SessionRows.list(sql, userId, at))),
    revoke: (userId, sessionId, reason) =>
      Effect.gen(function* () {
        const rows = yield* SessionRows.endOne(sql, userId, sessionId, reason, yield* now)
        if (rows.length === 0) return yield* new NotFound({ what: "Session" })
        yield* finish(rows, reason)
      }).pipe(orUnavailable),
    revokeAll: (userId, reason, except) =>
      Effect.gen(function* () {
        const rows = yield* SessionRows.endAll(sql, userId, reason, except, yield* now)
        yield* finish(rows, reason)
        return rows.length
      }).pipe(orUnavailable),
    ended,
    sweep: Effect.gen(function* () {
      const at = yield* now
      const expired = yield* SessionRows.endExpired(sql, at)
      yield* finish(expired, "expired")
      const deleted = yield* SessionRows.deleteOld(sql, at)
      yield* count
      return { expired: expired.length, deleted }
    }).pipe(orUnavailable),
    stats: Effect.map(count, () => ({ ...figures }))
  })
})

/** Sessions in Postgres, cached in the Store and in this process. */
export const layer: Layer.Layer<Sessions, never, SqlClient.SqlClient | Store | Broadcast | Settings> = Layer.scoped(
  Sessions,
  make
)
