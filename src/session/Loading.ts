import type * as SqlClient from "@effect/sql/SqlClient"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import { AtHand } from "../cache/AtHand.ts"
import { Settings } from "../config/Settings.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import { DatabaseUnavailable, Restricted, SessionExpired } from "../errors.ts"
import { type Seat, Seats } from "../store/Seats.ts"
import { Store } from "../store/Store.ts"
import { Turn } from "../store/Turn.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { Endings } from "./Endings.ts"
import { Near } from "./Near.ts"
import { fromText, type Session, toText } from "./Session.ts"
import * as SessionRows from "./SessionRows.ts"
import * as Token from "./Token.ts"

/** Sessions in this process's memory, and for how long: so long one lives on that ended elsewhere, should the news be lost. */
export const near = { entriesMax: 20_000, ttl: Duration.seconds(10) } as const
/** Tokens that are no good, in this process's memory: few, so that a flood of made-up ones costs nobody else's place. */
export const unknown = { entriesMax: 5_000, ttl: Duration.seconds(10) } as const
/** Sessions in the Store: a revocation that Redis missed is over after this at the latest. Also how often one is renewed. */
export const storeTtl = Duration.minutes(1)
/** Tokens of one read of the Store and one statement at most. */
export const batchMax = 256
/** More reads of one turn go in two, of which Redis answers one while this process reads the other. */
export const halvedOver = 32
/** Callers that wait for the Store or the database at most; beyond that they are told to try again. */
export const waitingMax = 10_000

/** What a token stands for, or why for nothing. */
export type Loaded = Exit.Exit<Session, SessionExpired | Restricted>

type Refused = SessionExpired | Restricted | DatabaseUnavailable
type Answer = Exit.Exit<Session, Refused>

/** A token that is being read, and who waits for it. */
interface Wanted {
  readonly token: string
  readonly key: string
  readonly hash: string
  /** How often everything near had been forgotten when this read began. */
  readonly era: number
  callers: Array<Seat<Session, Refused>>
}

const expired: Loaded = Exit.fail(new SessionExpired())
const crowded = Effect.fail(new DatabaseUnavailable({ cause: `More than ${waitingMax} look-ups of sessions wait` }))
const noLabels: ReadonlyArray<never> = []

export const storeKey = (hash: string): string => `session:${hash}`

/**
 * The way from a token to its session: this process, the Store, Postgres. What all callers of one turn lack is one read
 * of the Store, and what that lacks one statement.
 */
export const make = (sql: SqlClient.SqlClient, endings: Endings, nearMax: number = near.entriesMax) =>
  Effect.gen(function* () {
    const store = yield* Store
    const { session: limits } = yield* Settings
    const clock = yield* Effect.clock
    const runtime = yield* Effect.runtime<never>()
    // A store in this process's memory is no other node's: what is near is enough, and lives as long as there.
    const shared = store.backend !== "memory"
    const nearMillis = Duration.toMillis(shared ? near.ttl : storeTtl)
    const live = new Near<Exit.Exit<Session>>(nearMax)
    const dead = new Near<Loaded>(unknown.entriesMax)
    const wanted = new Map<string, Wanted>()
    const seats = new Seats<Session, Refused>()
    const nearHits = Metrics.series(Metrics.cacheHits, "session", "near")
    const storeHits = Metrics.series(Metrics.cacheHits, "session", "store")
    const misses = Metrics.series(Metrics.cacheMisses, "session")
    let era = 0
    let waiting = 0

    /** Without a fiber: what this process knows of the token; undefined when the Store must say. */
    const known = (token: string): Loaded | undefined => {
      const now = clock.unsafeCurrentTimeMillis()
      const hit = live.get(token, now)
      if (hit !== undefined && Exit.isSuccess(hit)) {
        nearHits.unsafeUpdate(1, noLabels)
        if (!endings.has(hit.value.id)) return hit
      }
      return Token.wellFormed(token) ? dead.get(token, now) : expired
    }

    const answer = (one: Wanted, outcome: Answer): void => {
      if (wanted.get(one.token) === one) wanted.delete(one.token)
      const { callers } = one
      one.callers = []
      waiting -= callers.length
      for (const seat of callers) seat.answer(outcome)
    }

    const settle = (one: Wanted, session: Session | undefined, now: number): boolean => {
      if (session === undefined || !(session.expiresAt.getTime() > now) || endings.has(session.id)) return false
      const loaded = Exit.succeed(session)
      const until = Math.min(now + nearMillis, session.expiresAt.getTime())
      if (one.era === era) live.set(one.token, loaded, until, now)
      answer(one, loaded)
      return true
    }

    const refuse = (one: Wanted, found: SessionRows.Found | undefined, now: number): void => {
      const outcome =
        found?._tag === "Banned" ? Exit.fail(new Restricted({ kind: "BAN", expiresAt: found.until })) : expired
      const ban = found?._tag === "Banned" ? (found.until?.getTime() ?? Infinity) : Infinity
      dead.set(one.token, outcome, Math.min(now + Duration.toMillis(unknown.ttl), ban), now)
      answer(one, outcome)
    }

    const fromDatabase = (all: ReadonlyArray<Wanted>, fill: boolean) =>
      Effect.gen(function* () {
        misses.unsafeUpdate(all.length, noLabels)
        const began = yield* Clock.currentTimeMillis
        const hashes = all.map(({ hash }) => hash)
        const rows = yield* orUnavailable(SessionRows.find(sql, limits, hashes, new Date(began)))
        const now = yield* Clock.currentTimeMillis
        const found: Array<readonly [key: string, session: Session]> = []
        for (const one of all) {
          const row = rows.get(one.hash)
          const session = row?._tag === "Live" ? row.session : undefined
          if (settle(one, session, now)) found.push([one.key, session!])
          else refuse(one, row, now)
        }
        // Only where nothing is: the mark of one that has ended meanwhile stays. The callers do not wait for it.
        const put = ([key, session]: readonly [string, Session]) =>
          Effect.ignore(store.set(key, toText(session), { ttl: storeTtl, onlyIfAbsent: true }))
        if (fill) yield* Effect.forEach(found, put, { concurrency: "unbounded", discard: true })
      })

    const lookUp = (all: ReadonlyArray<Wanted>) =>
      Effect.gen(function* () {
        if (!shared) return yield* fromDatabase(all, false)
        const texts = yield* Effect.option(store.getMany(all.map(({ key }) => key)))
        const now = clock.unsafeCurrentTimeMillis()
        const missed = all.filter((one, index) => {
          const text = Option.isSome(texts) ? texts.value[index]! : null
          return text === null || !settle(one, fromText(text), now)
        })
        if (missed.length < all.length) storeHits.unsafeUpdate(all.length - missed.length, noLabels)
        if (missed.length > 0) yield* fromDatabase(missed, Option.isSome(texts))
      })

    const turn = new Turn<Wanted>(
      yield* FiberRef.get(FiberRef.currentScheduler),
      batchMax,
      (all) => {
        Runtime.runFork(runtime, lookUp(all), { immediate: true }).addObserver((exit) => {
          if (Exit.isSuccess(exit)) return
          const failure = Cause.failureOption(exit.cause)
          const outcome = Option.isSome(failure) ? Exit.fail(failure.value) : Exit.die(Cause.squash(exit.cause))
          for (const one of all) answer(one, outcome)
        })
      },
      halvedOver
    )

    const ask = (token: string): Effect.Effect<Session, Refused> => {
      if (waiting >= waitingMax) return crowded
      waiting++
      const seat = seats.take()
      const begun = wanted.get(token)
      // A read that began before everything was forgotten may see the old; whoever comes later begins another.
      if (begun !== undefined && begun.era === era) begun.callers.push(seat)
      else {
        const hash = Token.hash(token)
        const one: Wanted = { token, hash, key: storeKey(hash), era, callers: [seat] }
        wanted.set(token, one)
        turn.add(one)
      }
      return seat.wait
    }

    const source = { peek: known, read: ask }
    return {
      known,
      load: (token: string) => new AtHand(source, token),
      /** What is near may be out of date: it is read again. */
      forget: (): void => {
        era++
        live.clear()
      }
    }
  })
