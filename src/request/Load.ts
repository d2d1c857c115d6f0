import type * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Runtime from "effect/Runtime"

/** A load that has joined its batch. */
export interface Joined {
  /** Its caller waits no more; a batch that nobody waits for is interrupted. */
  readonly leave: Effect.Effect<void>
}

/** A batch that takes keys until it begins. */
export interface Opened {
  /** How many wait for it now. */
  readonly waiting: number
  /** Whether it has not begun. */
  readonly isOpen: boolean
  /** Lets it begin when it no longer grows. */
  readonly schedule: () => void
  /** Begins it now, for whoever knows that nobody else will ask. Nothing where it has begun. */
  readonly begin: () => void
}

/** Whose load opens a batch. */
export interface Opener {
  /** Where the batch runs. */
  readonly runtime: () => Runtime.Runtime<never>
  /** Takes the batch, to begin or to schedule it. Without this, and where callers of other requests may join, it is scheduled. */
  readonly opened?: (batch: Opened) => void
}

/** Who waits for loads without a fiber. Told once of each, of one of both, with the `at` of its `join`. */
export interface Caller<A, E, At = unknown> extends Opener {
  readonly succeeded: (value: A, at: At) => void
  readonly failed: (cause: Cause.Cause<E>, at: At) => void
}

/** A load by key: an Effect as any other. Who has no fiber need not make one: `join` waits without. */
export interface Load<A, E = never> extends Effect.Effect<A, E> {
  /** What it gives where that is known; otherwise the caller is told once its batch has run. */
  readonly join: <At>(caller: Caller<A, E, At>, at: At) => Exit.Exit<A, E> | Joined
}
