import * as SqlClient from "@effect/sql/SqlClient"
import * as Arr from "effect/Array"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Supervised from "../actor/Supervised.ts"
import { Broadcast, signals } from "../broadcast/Broadcast.ts"
import * as Drainer from "../cache/Drainer.ts"
import { Settings } from "../config/Settings.ts"
import { Database } from "../database/Database.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import * as Ids from "../domain/Ids.ts"
import {
  Conflict,
  type DatabaseUnavailable,
  InvalidCredentials,
  NotFound,
  Restricted,
  type SessionExpired
} from "../errors.ts"
import { Store } from "../store/Store.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Endings } from "./Endings.ts"
import * as Loading from "./Loading.ts"
import type { Ended, EndReason, Session } from "./Session.ts"
import * as SessionRows from "./SessionRows.ts"
import * as Token from "./Token.ts"

export { type EndReason, Role, type Session } from "./Session.ts"

/** What is kept of a User-Agent header. */
export const userAgentMax = 256

/**
 * Who is signed in. Postgres holds every session (only the SHA-256 of its token); the Store and this process's memory
 * answer `load`. At the limit per user (`Settings.session.perUserMax`) the session unused for longest ends, or the
 * sign-in is refused, as `Settings.session.atLimit` says.
 */
export class Sessions extends Context.Tag("@connect/Sessions")<
  Sessions,
  {
    /**
     * A new session, with the user's role of now; `replacing` ends in the same step. Restricted for someone banned,
     * whenever the ban came; Conflict at the limit; InvalidCredentials when the password has been changed since
     * `passwordHash` was read.
     */
    readonly create: (
      userId: Ids.UserId,
      options: {
        readonly userAgent: Option.Option<string>
        readonly replacing?: Ids.SessionId
        readonly passwordHash?: Redacted.Redacted
      }
    ) => Effect.Effect<Begun, Refused>
    /**
     * A new session in place of all others, which end with the reason, in one transaction with `change`: that writes the
     * user's row, and may fail. All of it happens or nothing.
     */
    readonly replaceAll: <E>(
      userId: Ids.UserId,
      options: {
        readonly reason: EndReason
        readonly userAgent: Option.Option<string>
        readonly change: Effect.Effect<void, E>
      }
    ) => Effect.Effect<Begun, E | Refused>
    /** The session of a token; extends its idle time now and then. Restricted when it ended by a ban that is in force. */
    readonly load: (token: string) => Effect.Effect<Session, SessionExpired | Restricted | DatabaseUnavailable>
    /** What this process knows of a token, without a fiber or an allocation; undefined: `load` must say. */
    readonly known: (token: string) => Exit.Exit<Session, SessionExpired | Restricted> | undefined
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
    /** Ends the sessions of everybody but `except`, in bounded steps; returns how many. */
    readonly revokeEverybody: (reason: EndReason, except: Ids.UserId) => Effect.Effect<number, DatabaseUnavailable>
    /**
     * Calls `told` with the reason when that session ends early, maybe more than once, for as long as the scope lives: who
     * waits so needs no fiber. One that has ended by now is told of before the Effect returns.
     */
    readonly whenEnded: (session: Session, told: (reason: EndReason) => void) => Effect.Effect<void, never, Scope.Scope>
    /** Ends what has expired and deletes what ended long ago, a bounded number of each; for a fiber that runs it now and then. */
    readonly sweep: Effect.Effect<{ readonly expired: number; readonly deleted: number }, DatabaseUnavailable>
    readonly stats: Effect.Effect<Stats>
  }
>() {}

/** A session that has just been made. `token` (256 random bits, base64url) is shown this once. */
export interface Begun {
  readonly token: string
  readonly session: Session
}

/** Why no session begins. */
type Refused = Restricted | Conflict | InvalidCredentials | DatabaseUnavailable

/** `active` in the database, or as last known while it is away; the others since this process started. */
export interface Stats {
  readonly active: number
  readonly created: number
  readonly ended: number
  readonly endedBy: Readonly<Partial<Record<EndReason, number>>>
  /** From begin to end, of those that ended. NaN before the first. */
  readonly meanSeconds: number
}

const now = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis))

/** Nothing that Postgres cannot hold or that is longer than anybody reads. */
const tidy = (userAgent: string): string => userAgent.replaceAll("\u0000", "").slice(0, userAgentMax)

/** The figures ask the database for the number of live sessions at most this often. */
const countEvery = "15 seconds"

/** What a session that ended leaves in the Store for as long as a look-up begun before may want to put it back. */
const mark = "ended"
/** Sessions whose end the Store has not taken yet; beyond that the oldest is left to its time to live. */
export const owedMax = 10_000
/** How often what the Store did not take is tried again. */
const owedInterval = Duration.millis(100)

/** Writes the marks; what the Store does not take is tried again for as long as it may still hold the session. */
const marking = Effect.gen(function* () {
  const store = yield* Store
  const owed = new Map<string, number>()
  const write = (hashes: ReadonlyArray<string>) =>
    store.setMany(
      hashes.map((hash) => [Loading.storeKey(hash), mark] as const),
      Loading.storeTtl
    )
  const pass = Effect.gen(function* () {
    const at = yield* Clock.currentTimeMillis
    for (const [hash, until] of owed) if (until <= at) owed.delete(hash)
    const hashes = [...owed.keys()]
    if (hashes.length > 0 && Option.isSome(yield* Effect.option(write(hashes))))
      for (const hash of hashes) owed.delete(hash)
    return owed.size > 0
  })
  const { kick } = Drainer.make(yield* Effect.scope, owedInterval, pass)
  if (store.backend === "memory") return () => Effect.void
  return (hashes: ReadonlyArray<string>) =>
    Effect.catchAll(write(hashes), () =>
      Effect.flatMap(Clock.currentTimeMillis, (at) => {
        for (const hash of hashes) owed.set(hash, at + Duration.toMillis(Loading.storeTtl))
        for (const oldest of owed.keys()) {
          if (owed.size <= owedMax) break
          owed.delete(oldest)
        }
        return kick
      })
    )
})

/** Where processes without a Redis between them tell each other, through Postgres. */
const channel = "session_ended"
/** Sessions that one notice names: Postgres takes 8,000 bytes. */
const noticeMax = 100

const notify = (sql: SqlClient.SqlClient, ended: Ended) =>
  Effect.forEach(
    Chunk.chunksOf(Chunk.fromIterable(ended.sessionIds), noticeMax),
    (some) =>
      sql`select pg_notify(${channel}, ${JSON.stringify({ ...ended, sessionIds: Chunk.toReadonlyArray(some) })})`,
    { discard: true }
  ).pipe(Effect.ignore)

/** Everything that follows when rows have been ended: caches forget them, sockets close, figures count. */
const ending = (sql: SqlClient.SqlClient, endings: Endings) =>
  Effect.gen(function* () {
    const broadcast = yield* Broadcast
    const markEnded = yield* marking
    const figures = { created: 0, ended: 0, seconds: 0, by: new Map<EndReason, number>() }
    const { backend } = yield* Store
    const tell = (userId: string, rows: ReadonlyArray<SessionRows.EndedRow>, reason: EndReason) => {
      const ended: Ended = { userId, sessionIds: rows.map((row) => row.id), reason }
      const published = broadcast.publish("session", ended)
      return backend === "memory" ? Effect.zipRight(published, notify(sql, ended)) : published
    }
    const finish = (rows: ReadonlyArray<SessionRows.EndedRow>, reason: EndReason) =>
      Effect.gen(function* () {
        if (rows.length === 0) return
        const at = yield* Clock.currentTimeMillis
        for (const row of rows) endings.end(row.id, reason, at)
        yield* markEnded(rows.map((row) => Token.fromBytes(row.token_hash)))
        yield* Effect.forEach(
          Object.entries(Arr.groupBy(rows, (row) => row.user_id)),
          ([userId, theirs]) => tell(userId, theirs, reason),
          { discard: true }
        )
        figures.ended += rows.length
        figures.by.set(reason, (figures.by.get(reason) ?? 0) + rows.length)
        yield* Metric.incrementBy(Metrics.series(Metrics.sessionsEnded, reason), rows.length)
        for (const row of rows) {
          const seconds = (+new Date(row.ended_at) - +new Date(row.created_at)) / 1_000
          figures.seconds += seconds
          yield* Metric.update(Metrics.sessionSeconds, seconds)
        }
      })
    return { figures, finish }
  })

/** Hears what ended elsewhere; sockets wait here for the end of their session, wherever it is ended. */
/** How late a socket learns at the latest of an end that nobody told of. */
const checkInterval = Duration.minutes(1)

const listening = (sql: SqlClient.SqlClient, endings: Endings, forget: () => void) =>
  Effect.gen(function* () {
    const broadcast = yield* Broadcast
    const end = (id: string, reason: EndReason) =>
      Effect.map(Clock.currentTimeMillis, (at) => endings.end(id, reason, at))
    const check = (ids: ReadonlyArray<string>) =>
      Effect.forEach(
        Chunk.chunksOf(Chunk.fromIterable(ids), SessionRows.sweepMax),
        (some) =>
          Effect.flatMap(SessionRows.over(sql, Chunk.toReadonlyArray(some)), (rows) =>
            Effect.forEach(rows, (row) => end(row.id, row.end_reason), { discard: true })
          ),
        { discard: true }
      ).pipe(orUnavailable, Effect.ignore)
    const heard = ({ reason, sessionIds }: Ended) =>
      Effect.forEach(sessionIds, (id) => end(id, reason), { discard: true })
    const missed = Effect.suspend(() => {
      forget()
      return check(endings.awaitedIds)
    })
    const told = yield* signals<Ended>(broadcast, "session")
    yield* Supervised.fork({
      name: "session signals",
      effect: Stream.runForEach(told, (signal) => (signal._tag === "Message" ? heard(signal.message) : missed))
    })
    const { prepared } = (yield* Settings).database
    if ((yield* Store).backend === "memory" && prepared) {
      const notices = (yield* Database).listen(channel)
      yield* Supervised.fork({
        name: "session notices",
        effect: Stream.runForEach(notices, (notice) =>
          notice._tag === "Notified" ? heard(JSON.parse(notice.payload) as Ended) : missed
        )
      })
    }
    // News is lost with a process that dies before it has told: what sockets wait for is asked of the database too.
    yield* Supervised.fork({
      name: "session check",
      effect: Effect.repeat(
        Effect.suspend(() => check(endings.awaitedIds)),
        Schedule.spaced(checkInterval)
      )
    })
    // It may have ended between the load and the wait.
    return (session: Session, told: (reason: EndReason) => void) => endings.watch(session.id, told, check([session.id]))
  })

const refusal = (outcome: Exclude<SessionRows.Outcome, { readonly _tag: "Made" }>, perUserMax: number) => {
  switch (outcome._tag) {
    case "Banned":
      return new Restricted({ kind: "BAN", expiresAt: outcome.until })
    case "Full":
      return new Conflict({ message: `There are ${perUserMax} sessions already: end one first` })
    case "Outdated":
      return new InvalidCredentials()
  }
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { session: limits } = yield* Settings
  // Who forgets that a session ended must not find it near.
  const endings: Endings = new Endings(Duration.toMillis(Loading.storeTtl), () => loading.forget())
  const loading = yield* Loading.make(sql, endings)
  const { figures, finish } = yield* ending(sql, endings)
  const whenEnded = yield* listening(sql, endings, loading.forget)
  const scope = yield* Effect.scope
  /** Whoever asks may go away meanwhile: what the rows say, caches and sockets are told all the same. */
  const whole = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.flatMap(Effect.forkIn(effect, scope), Fiber.join)
  const begin = <E>(
    userId: Ids.UserId,
    userAgent: Option.Option<string>,
    insert: (made: SessionRows.New) => Effect.Effect<SessionRows.Outcome, E>
  ) =>
    Effect.gen(function* () {
      const token = yield* Token.make
      const id = yield* Ids.make(Ids.SessionId)
      const agent = Option.map(userAgent, tidy)
      const outcome = yield* insert({ id, userId, hash: Token.hash(token), userAgent: agent, now: yield* now })
      if (outcome._tag !== "Made") return yield* refusal(outcome, limits.perUserMax)
      figures.created++
      yield* Metric.increment(Metrics.sessionsCreated)
      for (const [reason, rows] of Object.entries(Arr.groupBy(outcome.ended, ([reason]) => reason)))
        yield* finish(
          rows.map(([, one]) => one),
          reason as EndReason
        )
      return { token, session: outcome.session }
    }).pipe(orUnavailable, whole)
  let active = 0
  const count = yield* Effect.flatMap(now, (at) => SessionRows.countLive(sql, at)).pipe(
    Effect.flatMap((counted) => Metric.set(Metrics.sessionsActive, (active = counted))),
    Effect.ignore,
    Effect.cachedWithTTL(countEvery)
  )
  return Sessions.of({
    create: (userId, { passwordHash, replacing, userAgent }) =>
      begin(userId, userAgent, (made) => SessionRows.insert(sql, limits, { ...made, passwordHash, replacing })),
    replaceAll: (userId, { change, reason, userAgent }) =>
      begin(userId, userAgent, (made) =>
        SessionRows.insertWith(sql, limits, change, { ...made, replacing: { all: reason } })
      ),
    load: loading.load,
    known: loading.known,
    list: (userId) => orUnavailable(Effect.flatMap(now, (at) => SessionRows.list(sql, userId, at))),
    revoke: (userId, sessionId, reason) =>
      Effect.gen(function* () {
        const rows = yield* SessionRows.endOne(sql, userId, sessionId, reason, yield* now)
        if (rows.length === 0) return yield* new NotFound({ what: "Session" })
        yield* finish(rows, reason)
      }).pipe(orUnavailable, whole),
    revokeAll: (userId, reason, except) =>
      Effect.gen(function* () {
        const rows = yield* SessionRows.endAll(sql, userId, reason, except, yield* now)
        yield* finish(rows, reason)
        return rows.length
      }).pipe(orUnavailable, whole),
    revokeEverybody: (reason, except) =>
      Effect.gen(function* () {
        const began = yield* now
        let revoked = 0
        const over = (rows: ReadonlyArray<SessionRows.EndedRow>) =>
          Effect.map(finish(rows, reason), () => {
            revoked += rows.length
            return rows.length
          })
        const some = Effect.flatMap(now, (at) => SessionRows.endSome(sql, reason, except, at))
        while ((yield* Effect.flatMap(some, over)) === SessionRows.sweepMax);
        // Those that were passed over, behind the lock that a sign-in takes as well.
        for (;;) {
          const users = yield* SessionRows.usersLeft(sql, except, began)
          if (users.length === 0) return revoked
          for (const userId of users)
            yield* Effect.flatMap(SessionRows.endAll(sql, userId, reason, undefined, yield* now), over)
        }
      }).pipe(orUnavailable, whole),
    whenEnded,
    sweep: Effect.gen(function* () {
      const at = yield* now
      const expired = yield* SessionRows.endExpired(sql, at)
      yield* finish(expired, "expired")
      const deleted = yield* SessionRows.deleteOld(sql, at)
      yield* count
      return { expired: expired.length, deleted }
    }).pipe(orUnavailable),
    stats: Effect.map(count, () => ({
      active,
      created: figures.created,
      ended: figures.ended,
      endedBy: Object.fromEntries(figures.by),
      meanSeconds: figures.seconds / figures.ended
    }))
  })
})

/** Sessions in Postgres, cached in the Store and in this process. */
export const layer: Layer.Layer<Sessions, never, SqlClient.SqlClient | Database | Store | Broadcast | Settings> =
  Layer.scoped(Sessions, make)
