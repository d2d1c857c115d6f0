import type { SqlError } from "@effect/sql/SqlError"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Fiber from "effect/Fiber"
import { stopwatch } from "../telemetry/Measure.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { SlowQuery } from "./Database.ts"
import { slowQueriesKept } from "./Database.ts"
import type { DriverResult, Outcome } from "./Driver.ts"
import { classOf, fingerprint } from "./Fingerprint.ts"
import { currentQueryCount, type QueryCount } from "./QueryCount.ts"
import type { SlowPlans } from "./SlowPlans.ts"
import * as Writes from "./Writes.ts"

export interface ObserverOptions {
  readonly clock: Clock.Clock
  readonly slowMillis: number
  /** Each statement at debug level. */
  readonly log: boolean
  readonly plans: Pick<SlowPlans, "planOf" | "want">
  readonly writes: Pick<Writes.Writes, "wrote">
}

/** What ran since start. */
export interface Totals {
  queries: number
  failures: number
  slow: number
  millis: number
}

/** One statement under observation: made when it is asked for, `begin` when it has its connection. Times by `Observer.now`. */
export interface Watch {
  readonly begin: (at: number) => void
  /** Counts and times it, and returns the outcome with the log lines it deserves. */
  readonly end: (outcome: Outcome<DriverResult>, at: number) => Effect.Effect<DriverResult, SqlError>
  /** Its caller left. */
  readonly leave: () => void
  /** It ended after its caller had left, or had been told that the time is over. */
  readonly ended: () => void
}

/** Times, counts and logs every statement. Values of parameters never leave it. */
export interface Observer {
  /** Milliseconds with fractions. A look at the clock is dear, so whoever has looked says what it saw. */
  readonly now: () => number
  readonly totals: Readonly<Totals>
  readonly slowQueries: () => ReadonlyArray<SlowQuery>
  readonly watch: (sql: string, fiber: Fiber.RuntimeFiber<unknown, unknown>) => Watch
}

const succeeded = Metrics.series(Metrics.queries, "ok")
const failed = Metrics.series(Metrics.queries, "error")
const interrupted = Metrics.series(Metrics.queries, "interrupted")

export const make = ({ clock, log, plans, slowMillis, writes }: ObserverOptions): Observer => {
  const now = stopwatch(clock)
  const totals: Totals = { queries: 0, failures: 0, slow: 0, millis: 0 }
  let kept: ReadonlyArray<Omit<SlowQuery, "plan">> = []

  const slow = (sql: string, durationMillis: number): Effect.Effect<void> => {
    totals.slow++
    const entry = { fingerprint: fingerprint(sql), durationMillis, at: new Date(clock.unsafeCurrentTimeMillis()) }
    Metrics.series(Metrics.slowQueries, classOf(entry.fingerprint)).unsafeUpdate(1, [])
    plans.want(entry.fingerprint, sql)
    kept = [...kept.slice(1 - slowQueriesKept), entry]
    return Effect.annotateLogs(Effect.logWarning("Slow query"), {
      fingerprint: entry.fingerprint,
      durationMillis: Math.round(durationMillis)
    })
  }

  const line = (sql: string, durationMillis: number): Effect.Effect<void> | undefined => {
    if (durationMillis >= slowMillis) return slow(sql, durationMillis)
    return log
      ? Effect.annotateLogs(Effect.logDebug("Query"), { fingerprint: fingerprint(sql), durationMillis })
      : undefined
  }

  class Timed implements Watch {
    readonly sql: string
    readonly count: QueryCount | undefined
    readonly asked = now()
    begun: number | undefined
    left = false

    constructor(sql: string, count: QueryCount | undefined) {
      this.sql = sql
      this.count = count
    }

    begin(at: number): void {
      this.begun = at
      Metrics.poolWaitSeconds.unsafeUpdate((at - this.asked) / 1_000, [])
    }

    end(outcome: Outcome<DriverResult>, at: number): Effect.Effect<DriverResult, SqlError> {
      if (this.left) return outcome
      const millis = this.begun === undefined ? 0 : at - this.begun
      totals.millis += millis
      this.count?.took(millis)
      if (Either.isLeft(outcome)) totals.failures++
      ;(Either.isLeft(outcome) ? failed : succeeded).unsafeUpdate(1, [])
      Metrics.querySeconds.unsafeUpdate(millis / 1_000, [])
      const report = line(this.sql, millis)
      return report === undefined ? outcome : Effect.zipRight(report, outcome)
    }

    leave(): void {
      this.left = true
      interrupted.unsafeUpdate(1, [])
    }

    ended(): void {}
  }

  class Writing extends Timed {
    readonly tables: ReadonlyArray<string>
    readonly transaction: Set<string> | undefined

    constructor(
      sql: string,
      count: QueryCount | undefined,
      tables: ReadonlyArray<string>,
      transaction: Set<string> | undefined
    ) {
      super(sql, count)
      this.tables = tables
      this.transaction = transaction
    }

    override end(outcome: Outcome<DriverResult>, at: number): Effect.Effect<DriverResult, SqlError> {
      // Whether a statement that failed has written nothing is not known when its connection broke.
      this.ended()
      return super.end(outcome, at)
    }

    // It was to be cancelled, which may have come too late.
    override ended(): void {
      writes.wrote(this.tables, this.transaction)
    }
  }

  return {
    now,
    totals,
    slowQueries: () => kept.map((entry) => ({ ...entry, plan: plans.planOf(entry.fingerprint) })),
    watch: (sql, fiber) => {
      totals.queries++
      const count = fiber.getFiberRef(currentQueryCount)
      count?.asked(sql)
      const tables = Writes.tablesOf(sql)
      return tables === undefined
        ? new Timed(sql, count)
        : new Writing(sql, count, tables, fiber.getFiberRef(Writes.inTransaction))
    }
  }
}
