import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Metric from "effect/Metric"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Supervision from "./Supervision.ts"

/** Fibers that one registry lists; more are refused with a defect, because a program has a fixed set of them. */
export const fibersMax = 256

/** `running`, waiting to start `again`, `done` by itself, or `failed` more often than its intensity allows. */
export type State = "running" | "backoff" | "done" | "failed"

/** What is known of one supervised fiber. */
export interface Report {
  readonly name: string
  readonly strategy: Supervision.Strategy
  readonly state: State
  readonly restarts: number
  readonly lastFailure: { readonly cause: string; readonly at: Date } | undefined
}

interface Entry {
  readonly name: string
  readonly strategy: Supervision.Strategy
  state: State
  restarts: number
  lastFailure: { readonly cause: string; readonly at: Date } | undefined
}

interface Supervisors {
  readonly add: (name: string, strategy: Supervision.Strategy) => Effect.Effect<Entry, never, Scope.Scope>
  readonly report: Effect.Effect<ReadonlyArray<Report>>
}

const makeRegistry = (): Supervisors => {
  const entries = new Set<Entry>()
  return {
    add: (name, strategy) =>
      Effect.acquireRelease(
        Effect.suspend(() => {
          if (entries.size >= fibersMax) return Effect.dieMessage(`More than ${fibersMax} supervised fibers`)
          const entry: Entry = { name, strategy, state: "running", restarts: 0, lastFailure: undefined }
          entries.add(entry)
          return Effect.succeed(entry)
        }),
        (entry) => Effect.sync(() => entries.delete(entry))
      ),
    report: Effect.sync(() => Array.from(entries, (entry) => ({ ...entry })))
  }
}

/**
 * The supervised fibers, for health and metrics. One for the process, whoever starts a fiber in it; tests provide
 * `Registry.layer` to see only their own.
 */
export class Registry extends Context.Reference<Registry>()("@connect/actor/Supervised/Registry", {
  defaultValue: makeRegistry
}) {
  static readonly layer: Layer.Layer<never> = Layer.sync(Registry, makeRegistry)
}

export interface Options<E, R> {
  /** Shown in health and as a metric label: a fixed name, never an id. */
  readonly name: string
  readonly effect: Effect.Effect<unknown, E, R>
  readonly restart?: Omit<Supervision.Options, "strategy">
}

const causeCharactersMax = 2_000

/**
 * Runs a fiber in the scope and starts it again when it fails, with back-off. After more failures than the intensity
 * allows within the window it stays down, and the registry says so. It is over when the effect succeeds.
 */
export const fork = <E, R>(options: Options<E, R>): Effect.Effect<void, never, Scope.Scope | R> =>
  Effect.gen(function* () {
    const registry = yield* Registry
    const policy = Supervision.policy({ ...options.restart, strategy: "restart" })
    const entry = yield* registry.add(options.name, policy.strategy)
    const failures: Array<number> = []
    const restarts = Metrics.series(Metrics.fiberRestarts, options.name)
    const running = Metrics.series(Metrics.fibersRunning, options.name)
    const attempt: Effect.Effect<void, never, R> = Effect.suspend(() => {
      entry.state = "running"
      running.unsafeUpdate(1, [])
      return Effect.flatMap(Effect.exit(options.effect), (exit) => settle(exit))
    })
    const settle = (exit: Exit.Exit<unknown, E>): Effect.Effect<void, never, R> =>
      Effect.gen(function* () {
        running.unsafeUpdate(0, [])
        if (Exit.isSuccess(exit)) {
          entry.state = "done"
          return
        }
        const now = yield* Clock.currentTimeMillis
        entry.lastFailure = { cause: Cause.pretty(exit.cause).slice(0, causeCharactersMax), at: new Date(now) }
        const verdict = Supervision.judge(policy, failures, now)
        if (verdict._tag === "Stop") {
          entry.state = "failed"
          return yield* Effect.logError(`${options.name} failed too often and stays down`, exit.cause)
        }
        entry.state = "backoff"
        entry.restarts++
        yield* Metric.increment(restarts)
        yield* Effect.logWarning(`${options.name} failed and starts again`, exit.cause)
        yield* Effect.sleep(Math.max(verdict.delayMillis, policy.initialMillis))
        return yield* attempt
      })
    yield* Effect.forkScoped(Effect.interruptible(attempt))
  })
