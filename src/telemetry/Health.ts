import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export type Status = "pass" | "warn" | "fail"

/** The outcome of one check. `details` is for people; never secrets or personal data. */
export interface Outcome {
  readonly status: Status
  readonly details?: string
  readonly observed?: Readonly<Record<string, number | string>>
}

/** A check that runs on a schedule. `critical`: readiness is red while it fails; otherwise health is only degraded. */
export interface Check {
  readonly name: string
  readonly critical: boolean
  readonly run: Effect.Effect<Outcome>
  readonly timeout?: Duration.DurationInput
}

/** Outcomes kept per check. */
export const historyKept = 50

/** Health of this process: checks run every 5 s by a supervised fiber, the answers are read from memory. */
export class Health extends Context.Tag("@connect/Health")<
  Health,
  {
    /** Adds a check for as long as the scope lives. */
    readonly register: (check: Check) => Effect.Effect<void, never, Scope.Scope>
    readonly report: Effect.Effect<{
      readonly status: Status
      readonly checks: Readonly<
        Record<
          string,
          Outcome & {
            readonly at: Date
            readonly history: ReadonlyArray<{ readonly status: Status; readonly at: Date }>
          }
        >
      >
    }>
    /** Turns readiness red for good: the process is draining. */
    readonly drain: Effect.Effect<void>
    readonly ready: Effect.Effect<boolean>
  }
>() {}
