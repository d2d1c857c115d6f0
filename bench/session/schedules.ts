import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as Ids from "../../src/domain/Ids.ts"
import * as Sessions from "../../src/session/Sessions.ts"
import { Store } from "../../src/store/Store.ts"
import * as Redis from "../../test/kit/Redis.ts"

/** Small, so that most schedules run into it. */
const perUserMax = 2
const nodesCount = 3
/** Schedules that are played at once. */
const atOnce = 100

export const settings = Settings.layerTest((shape) => ({ ...shape, session: { ...shape.session, perUserMax } }))

/** One node: its own memory, its own connections to the one Redis, the same Postgres. */
export const node = Effect.gen(function* () {
  const store = Layer.scoped(Store, Effect.flatMap(Redis.shared, Redis.patientStore)).pipe(Layer.orDie)
  const built = yield* Layer.build(
    Layer.fresh(Sessions.layer).pipe(Layer.provide(Layer.fresh(Layer.provideMerge(Broadcast.layerStore, store))))
  )
  return Context.get(built, Sessions.Sessions)
})

/** Made-up users, in the database. */
export const users = (count: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const ids = yield* Effect.replicateEffect(Ids.make(Ids.UserId), count)
    yield* sql`
      insert into users (id, handle, display_name, created_at, updated_at)
      select id, 'u' || right(replace(id::text, '-', ''), 20), 'Somebody', now(), now() from unnest(${ids}::uuid[]) id`
    return ids
  })

/** A generator of the numbers of a seed, 0 up to `below` (mulberry32). */
const numbers = (seed: number) => {
  let state = seed >>> 0
  return (below: number): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

type Sessions = typeof Sessions.Sessions.Service

/** What one user's devices do, all at once, on any node: 4 to 7 steps, most of them sign-ins. */
const play = (nodes: ReadonlyArray<Sessions>, userId: Ids.UserId, seed: number) =>
  Effect.gen(function* () {
    const number = numbers(seed)
    const tokens: Array<string> = []
    const step = (kind: number, on: Sessions, turns: number, pick: number) =>
      Effect.gen(function* () {
        for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow()
        if (kind < 7) {
          const made = yield* on.create(userId, { userAgent: Option.none() })
          tokens.push(made.token)
        } else if (kind < 8) {
          const [one] = yield* on.list(userId)
          if (one !== undefined) yield* Effect.ignore(on.revoke(userId, one.id, "revoked"))
        } else if (kind < 9) yield* on.revokeAll(userId, "revoked")
        else if (tokens.length > 0) yield* Effect.ignore(on.load(tokens[pick % tokens.length]!))
      })
    const steps = Array.from({ length: 4 + number(4) }, () =>
      step(number(10), nodes[number(nodes.length)]!, number(12), number(100))
    )
    yield* Effect.all(steps, { concurrency: "unbounded", discard: true })
    return tokens
  })

/**
 * By how many sessions a user ever had more than the limit, over so many seeded schedules: looked for in Postgres all
 * the while and after each, and among the tokens that some node still takes.
 */
export const run = (schedules: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const nodes = yield* Effect.replicateEffect(node, nodesCount)
    let most = 0
    const look = (userIds: ReadonlyArray<string>) =>
      Effect.map(
        sql<{ readonly most: number }>`
          select coalesce(max(live), 0)::int as most from (
            select count(*) as live from sessions where user_id = any(${userIds}::uuid[]) and ended_at is null
            group by user_id
          ) counted`,
        ([row]) => void (most = Math.max(most, row!.most))
      )
    for (let done = 0; done < schedules; done += atOnce) {
      const userIds = yield* users(Math.min(atOnce, schedules - done))
      const watch = yield* Effect.fork(Effect.forever(look(userIds)))
      const tokens = yield* Effect.forEach(userIds, (userId, index) => play(nodes, userId, done + index), {
        concurrency: "unbounded"
      })
      yield* Fiber.interrupt(watch)
      yield* look(userIds)
      // The news of what ended may still be on its way to what is near on another node.
      yield* Effect.sleep("10 millis")
      yield* Effect.forEach(
        tokens,
        (theirs, index) =>
          Effect.map(
            Effect.forEach(theirs, (token) => Effect.isSuccess(nodes[index % nodesCount]!.load(token)), {
              concurrency: "unbounded"
            }),
            (taken) => void (most = Math.max(most, taken.filter((ok) => ok).length))
          ),
        { concurrency: "unbounded", discard: true }
      )
    }
    return Math.max(0, most - perUserMax)
  })
