import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { UserId } from "../domain/Ids.ts"
import type { DatabaseUnavailable, Restricted } from "../errors.ts"
import type { Action, Kind } from "./Action.ts"

/** The kinds that last: the others are done once. */
export type Lasting = Extract<Kind, "WARN" | "MUTE" | "SHADOW_BAN" | "BAN">

/** Published on the Broadcast topic `moderation` when a person's restrictions changed. */
export interface RestrictionsChanged {
  readonly userId: UserId
}

/**
 * What moderation forbids a person now. An action counts from `startsAt` until just before `expiresAt` by the Clock: at
 * that instant it has no effect, without any job.
 */
export class Restrictions extends Context.Tag("@connect/Restrictions")<
  Restrictions,
  {
    /** Of the actions of these kinds in force, the one that lasts longest. */
    readonly inForce: (
      userId: UserId,
      kinds: ReadonlyArray<Lasting>
    ) => Effect.Effect<Option.Option<Action>, DatabaseUnavailable>
    /** Restricted when an action of these kinds is in force: `yield* restrictions.refuse(id, ["BAN", "MUTE"])`. */
    readonly refuse: (
      userId: UserId,
      kinds: ReadonlyArray<Lasting>
    ) => Effect.Effect<void, Restricted | DatabaseUnavailable>
    /** Every lasting action in force, the newest first. */
    readonly list: (userId: UserId) => Effect.Effect<ReadonlyArray<Action>, DatabaseUnavailable>
    /** Forgets what is cached of that person, here and in other processes. */
    readonly invalidate: (userId: UserId) => Effect.Effect<void>
  }
>() {}
