import * as SqlClient from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import * as Tags from "../../src/cache/Tags.ts"
import * as Settings from "../../src/config/Settings.ts"
import { UserId } from "../../src/domain/Ids.ts"
import * as Cursor from "../../src/graphql/Cursor.ts"
import * as Interactions from "../../src/interaction/Interactions.ts"
import * as Restrictions from "../../src/moderation/Restrictions.ts"
import * as Inbox from "../../src/queuing/Inbox.ts"
import * as Queue from "../../src/queuing/Queue.ts"
import * as QueueActor from "../../src/queuing/QueueActor.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { Passwords } from "../../src/user/Passwords.ts"
import * as Users from "../../src/user/Users.ts"
import * as Postgres from "../kit/Postgres.ts"

export type Change = Partial<Settings.Shape["queuing"]>

export const settings = (change: Change = {}) =>
  Settings.layerTest((all) => ({ ...all, queuing: { ...all.queuing, ...change } }))

/** Nobody signs in here, so no time goes into hashing. */
const noPasswords = Layer.mock(Passwords, {})

/** Sessions here end only by what a test publishes. */
const endlessSessions = Layer.mock(Sessions, { whenEnded: () => Effect.void, known: () => undefined })

/** What one process that matches is made of; it still asks for the database and the broadcasts. */
export const process = (change: Change = {}) =>
  Inbox.layer.pipe(
    Layer.provideMerge(Queue.layer),
    Layer.provideMerge(QueueActor.layer),
    Layer.provideMerge(Layer.mergeAll(Users.layer, Restrictions.layer, Interactions.layer)),
    Layer.provideMerge(Layer.mergeAll(Cursor.layer, Tags.layer, noPasswords, endlessSessions)),
    Layer.provideMerge(Layer.mergeAll(ActorSystem.layerLocal, StoreMemory.layer, settings(change)))
  )

/** The database and the broadcasts that the processes of a test share. */
export const database = Layer.merge(Postgres.layerDatabase, Broadcast.layerLocal)

/** Runs a test on an empty database. */
export const emptied = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`delete from users`
    yield* sql`delete from interactions`
    return yield* test
  })

let made = 0

/** New people with that profile. */
export const people = (
  count: number,
  profile: {
    readonly interests?: ReadonlyArray<string>
    readonly languages?: ReadonlyArray<string>
    readonly region?: string | null
  } = {}
) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const first = made + 1
    made += count
    const rows = yield* sql<{ readonly id: string }>`
      insert into users (id, handle, display_name, interests, languages, region, created_at, updated_at)
      select gen_random_uuid(), 'person_' || n, 'Person', ${profile.interests ?? ["chess"]}::text[],
        ${profile.languages ?? ["en"]}::text[], ${profile.region ?? null}, now(), now()
      from generate_series(${first}::int, ${made}::int) n returning id`
    return rows.map(({ id }) => UserId.make(id))
  })

export const block = (blocker: UserId, blocked: UserId) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`insert into blocks values (${blocker}::uuid, ${blocked}::uuid, now()) on conflict do nothing`
  )

/** Pairs of users that have been matched. */
export const matchedPairs = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql<{ readonly a: string; readonly b: string }>`
      select min(t.user_id::text) as a, max(t.user_id::text) as b
      from match_tickets k join tickets t on t.id = k.ticket_id group by k.match_id order by 1, 2`,
    (rows) => rows.map(({ a, b }) => [a, b] as const)
  )
)

export const ticketStates = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql<{ readonly id: string; readonly state: number }>`select id, state from tickets`,
    (rows) => new Map(rows.map(({ id, state }) => [id, state]))
  )
)

/** Runs the effect until its result passes; the test's own limit ends it. */
export const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>, passes: (a: A) => boolean) =>
  Effect.repeat(effect, { until: passes, schedule: Schedule.spaced(Duration.millis(5)) }).pipe(Effect.zipRight(effect))

/** A pair as `matchedPairs` gives it. */
export const sorted = (a: UserId, b: UserId): readonly [UserId, UserId] => (a < b ? [a, b] : [b, a])
