import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Supervised from "../actor/Supervised.ts"
import { Broadcast, signals } from "../broadcast/Broadcast.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { UserId } from "../domain/Ids.ts"
import { type DatabaseUnavailable, Restricted } from "../errors.ts"
import type { Action, Kind } from "./Action.ts"
import { type ActionRow, columns, fromRow } from "./ActionRow.ts"

/** The kinds that last: the others are done once. */
export type Lasting = Extract<Kind, "WARN" | "MUTE" | "SHADOW_BAN" | "BAN">

/** Published on the Broadcast topic `moderation` when a person's restrictions changed. */
export interface RestrictionsChanged {
  readonly userId: UserId
}

/** A change that the broadcast lost is noticed after this long at the latest. */
export const cacheTtl = Duration.seconds(5)

/** People whose restrictions are kept; beyond that the one read longest ago is forgotten. */
export const cachedMax = 10_000

/** Actions in force per person that are looked at; the newest. */
export const actionsMax = 100

/**
 * What moderation forbids a person now. An action counts from when it is written until just before `expiresAt` by the
 * Clock: at that instant it has no effect, without any job. `startsAt` is not looked at, so that a node whose clock is
 * behind applies it at once too.
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
    /** Forgets what is cached of that person, here and in other processes. Call it after the change is committed. */
    readonly invalidate: (userId: UserId) => Effect.Effect<void>
  }
>() {}

/** Whether the action has an effect at this time. */
export const isInForce = (action: Action, nowMillis: number): boolean =>
  action.revokedAt === null && (action.expiresAt === null || nowMillis < action.expiresAt.getTime())

const lasting: ReadonlySet<Kind> = new Set<Lasting>(["WARN", "MUTE", "SHADOW_BAN", "BAN"])

/** Whether actions of this kind last until they expire or are revoked. */
export const isLasting = (kind: Kind): boolean => lasting.has(kind)

const endMillis = (action: Action): number => action.expiresAt?.getTime() ?? Infinity

/** Of several, the one that ends last. */
const longest = (actions: ReadonlyArray<Action>): Option.Option<Action> =>
  actions.length === 0 ? Option.none() : Option.some(actions.reduce((a, b) => (endMillis(b) > endMillis(a) ? b : a)))

interface Known {
  readonly actions: ReadonlyArray<Action>
  readonly untilMillis: number
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const broadcast = yield* Broadcast
  /** The one read longest ago first. */
  const known = new Map<UserId, Known>()
  // A read that began before a change must not put the old state back after it.
  let changes = 0

  const forget = (userId: UserId): void => {
    changes++
    known.delete(userId)
  }

  const changed = yield* signals<RestrictionsChanged>(broadcast, "moderation")
  yield* Supervised.fork({
    name: "restriction signals",
    effect: Stream.runForEach(changed, (signal) =>
      Effect.sync(() => {
        if (signal._tag === "Message") return forget(signal.message.userId)
        changes++
        known.clear()
      })
    )
  })

  const read = (userId: UserId, now: number) =>
    Effect.gen(function* () {
      const before = changes
      const at = new Date(now)
      const rows = yield* sql<ActionRow>`
        select ${columns(sql)} from moderation_actions a
        where a.subject_id = ${userId}::uuid and a.revoked_at is null
          and (a.expires_at is null or a.expires_at > ${at}::timestamptz)
          and a.kind in ('WARN', 'MUTE', 'SHADOW_BAN', 'BAN')
        order by a.starts_at desc
        limit ${actionsMax}`.pipe(orUnavailable)
      const actions = rows.map(fromRow)
      if (before === changes) {
        known.delete(userId)
        known.set(userId, { actions, untilMillis: now + Duration.toMillis(cacheTtl) })
        for (const oldest of known.keys()) {
          if (known.size <= cachedMax) break
          known.delete(oldest)
        }
      }
      return actions
    })

  const list = (userId: UserId) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const cached = known.get(userId)
      const actions = cached && now < cached.untilMillis ? Effect.succeed(cached.actions) : read(userId, now)
      return Effect.map(actions, (all) => all.filter((action) => isLasting(action.kind) && isInForce(action, now)))
    })

  const inForce = (userId: UserId, kinds: ReadonlyArray<Lasting>) =>
    Effect.map(list(userId), (all) => longest(all.filter((action) => kinds.some((kind) => kind === action.kind))))

  return Restrictions.of({
    list,
    inForce,
    refuse: (userId, kinds) =>
      Effect.flatMap(
        inForce(userId, kinds),
        Option.match({
          onNone: () => Effect.void,
          onSome: ({ expiresAt, kind }) => Effect.fail(new Restricted({ kind, expiresAt }))
        })
      ),
    invalidate: (userId) =>
      Effect.suspend(() => {
        forget(userId)
        return broadcast.publish("moderation", { userId } satisfies RestrictionsChanged)
      })
  })
})

export const layer: Layer.Layer<Restrictions, never, SqlClient.SqlClient | Broadcast> = Layer.scoped(Restrictions, make)
