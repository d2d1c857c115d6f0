import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { DatabaseUnavailable } from "../errors.ts"
import { ActorSystem } from "./ActorSystem.ts"
import type { Definition, Encoded } from "./Definition.ts"
import * as Payload from "./durable/Payload.ts"
import * as SchemaVersion from "./durable/SchemaVersion.ts"
import * as Supervised from "./Supervised.ts"

/** When the actor is reminded: once after a time or at a date, or again and again. */
export type When =
  | { readonly after: Duration.DurationInput; readonly every?: Duration.DurationInput }
  | { readonly at: Date; readonly every?: Duration.DurationInput }

/** A reminder as it is kept. */
export interface Reminder {
  readonly actor: string
  readonly id: string
  readonly name: string
  readonly tag: string
  readonly dueAt: Date
  readonly everyMillis: number | null
  readonly attempts: number
}

/** Reminders that one process delivers at the same time. */
export const batchMax = 100

/** Time between two looks for what is due. */
export const lookEvery = Duration.seconds(1)

/** Time a process has to deliver what it took before another one may take it: longer than any ask. */
export const lease = Duration.minutes(1)

/** After a delivery that failed the next is later: from one second, doubled, to this. */
export const retryMax = Duration.minutes(10)

/** Deliveries that fail before a reminder is given up and only logged. */
export const attemptsMax = 20

interface Due {
  readonly actor: string
  readonly id: string
  readonly name: string
  readonly tag: string
  readonly payload: unknown
  readonly schema_version: number
  readonly due_at: Date
  readonly every_millis: number | null
  readonly attempts: number
}

/** Reminders outlive the actor, the process and the node: they are kept in Postgres until they are delivered. */
export class Reminders extends Context.Tag("@connect/actor/Reminders")<
  Reminders,
  {
    /** Replaces the reminder of that name. */
    readonly set: (
      definition: Definition,
      id: string,
      name: string,
      when: When,
      tag: string,
      payload: unknown
    ) => Effect.Effect<void, DatabaseUnavailable>
    readonly cancel: (definition: Definition, id: string, name: string) => Effect.Effect<void, DatabaseUnavailable>
    /** The next ones due, `limit` at most. */
    readonly list: (limit: number) => Effect.Effect<ReadonlyArray<Reminder>, DatabaseUnavailable>
    /** Delivers what is due now; the result is how many. The layer does it every second. */
    readonly deliver: Effect.Effect<number, DatabaseUnavailable>
  }
>() {}

const dueOf = (when: When, now: number): Date =>
  "at" in when ? when.at : new Date(now + Duration.toMillis(when.after))

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const system = yield* ActorSystem

  const take = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const until = new Date(now + Duration.toMillis(lease))
    const served = (yield* system.stats).map(({ actor }) => actor)
    if (served.length === 0) return []
    return yield* sql<Due>`
      update actor_reminders r set leased_until = ${until}
      from (
        select actor, id, name from actor_reminders
        where due_at <= ${new Date(now)} and leased_until <= ${new Date(now)} and actor = any(${served}::text[])
        order by due_at limit ${batchMax} for update skip locked
      ) d
      where r.actor = d.actor and r.id = d.id and r.name = d.name
      returning r.actor, r.id, r.name, r.tag, r.payload, r.schema_version, r.due_at, r.every_millis, r.attempts`
  }).pipe(orUnavailable)

  /**
   * Only as it was taken: the actor may have set it anew while it was being reminded. SQL may have written its time in
   * microseconds, which a Date has not.
   */
  const taken = (due: Due) =>
    sql`actor = ${due.actor} and id = ${due.id} and name = ${due.name} and date_trunc('milliseconds', due_at) = ${due.due_at}`

  const delivered = (due: Due) =>
    Effect.gen(function* () {
      if (due.every_millis === null) return yield* sql`delete from actor_reminders where ${taken(due)}`
      const now = yield* Clock.currentTimeMillis
      const missed = Math.floor((now - due.due_at.getTime()) / due.every_millis)
      const next = new Date(due.due_at.getTime() + (missed + 1) * due.every_millis)
      return yield* sql`
        update actor_reminders set due_at = ${next}, attempts = 0, leased_until = '-infinity' where ${taken(due)}`
    }).pipe(orUnavailable)

  const failed = (due: Due) =>
    Effect.gen(function* () {
      if (due.attempts + 1 >= attemptsMax) {
        yield* Effect.logError(`Reminder ${due.name} of ${due.actor} is given up`).pipe(
          Effect.annotateLogs("id", due.id)
        )
        return yield* delivered(due)
      }
      const pause = Math.min(Duration.toMillis(retryMax), 1_000 * 2 ** due.attempts)
      const until = new Date((yield* Clock.currentTimeMillis) + pause)
      yield* orUnavailable(
        sql`update actor_reminders set attempts = attempts + 1, leased_until = ${until} where ${taken(due)}`
      )
    })

  const deliverOne = (due: Due) =>
    Effect.gen(function* () {
      const definition = yield* system.definition(due.actor)
      if (definition === undefined) return yield* failed(due)
      // Set by a newer program: it stays for one that knows it, which finds it when our lease ends.
      if (due.schema_version > SchemaVersion.written(definition.migrations)) return
      const ask = Effect.gen(function* () {
        const { payload, tag } = yield* SchemaVersion.forward<Encoded>(definition.migrations, due.schema_version, due)
        const rpc = definition.protocol.get(tag)
        if (rpc === undefined) return yield* Effect.dieMessage(`${due.actor} has no message ${tag}`)
        return yield* system.ask(definition, due.id, tag, yield* Payload.decode(rpc, payload))
      })
      return yield* Effect.matchCauseEffect(ask, {
        onSuccess: () => delivered(due),
        onFailure: (cause) =>
          Effect.zipRight(Effect.logWarning(`Reminder ${due.name} of ${due.actor} failed`, cause), failed(due))
      })
    })

  return Reminders.of({
    set: (definition, id, name, when, tag, payload) =>
      Effect.gen(function* () {
        const encoded = yield* Payload.encode(definition.protocol.get(tag)!, payload)
        const due = dueOf(when, yield* Clock.currentTimeMillis)
        const every = when.every === undefined ? null : Math.max(1, Duration.toMillis(when.every))
        yield* sql`
          insert into actor_reminders (actor, id, name, tag, payload, schema_version, due_at, every_millis)
          values (${definition.name}, ${id}, ${name}, ${tag}, ${JSON.stringify(encoded)}::text::jsonb,
            ${SchemaVersion.written(definition.migrations)}, ${due}, ${every})
          on conflict (actor, id, name) do update set tag = excluded.tag, payload = excluded.payload,
            schema_version = excluded.schema_version, due_at = excluded.due_at, every_millis = excluded.every_millis, attempts = 0, leased_until = '-infinity'`
      }).pipe(orUnavailable),
    cancel: (definition, id, name) =>
      sql`delete from actor_reminders where actor = ${definition.name} and id = ${id} and name = ${name}`.pipe(
        Effect.asVoid,
        orUnavailable
      ),
    list: (limit) =>
      sql<Due>`
        select actor, id, name, tag, payload, due_at, every_millis, attempts from actor_reminders
        order by due_at limit ${limit}`.pipe(
        Effect.map((rows) =>
          rows.map((row) => ({
            actor: row.actor,
            id: row.id,
            name: row.name,
            tag: row.tag,
            dueAt: row.due_at,
            everyMillis: row.every_millis,
            attempts: row.attempts
          }))
        ),
        orUnavailable
      ),
    deliver: Effect.gen(function* () {
      const due = yield* take
      yield* Effect.forEach(due, deliverOne, { concurrency: batchMax, discard: true })
      return due.length
    })
  })
})

/** Kept in Postgres, delivered by whichever process serves the actor's type and takes them first. */
export const layer: Layer.Layer<Reminders, never, SqlClient.SqlClient | ActorSystem> = Layer.scoped(
  Reminders,
  Effect.tap(make, ({ deliver }) =>
    Supervised.fork({
      name: "actor reminders",
      effect: Effect.forever(
        Effect.flatMap(deliver, (count) => (count === batchMax ? Effect.void : Effect.sleep(lookEvery)))
      ),
      restart: { intensity: 1_000, window: "1 minute", backoff: { initial: "1 second", max: "10 seconds" } }
    })
  )
)
