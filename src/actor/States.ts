import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { orUnavailable } from "../database/SqlErrors.ts"
import { DatabaseUnavailable, StaleOwner } from "../errors.ts"
import * as Groups from "./durable/Groups.ts"

/** The state as it was written last; `state` is null before the first write. */
export interface Snapshot {
  readonly state: unknown
  readonly schemaVersion: number
  /** Counts the writes. */
  readonly version: number
}

export interface Write {
  readonly actor: string
  readonly id: string
  readonly owner: string
  readonly schemaVersion: number
  readonly state: unknown
}

/** States written by one statement at most. */
export const writesMax = 500

/** The last states of actors. One activation owns each; taking it over ends the right of the one before to write. */
export class States extends Context.Tag("@connect/actor/States")<
  States,
  {
    /** Makes `owner` (a UUID) the only one that may write, and gives what was written last. */
    readonly claim: (
      actor: string,
      id: string,
      owner: string,
      schemaVersion: number
    ) => Effect.Effect<Snapshot, DatabaseUnavailable>
    /** Writes for its owner and gives the version; several that come at the same time share a statement. */
    readonly write: (write: Write) => Effect.Effect<number, StaleOwner | DatabaseUnavailable>
  }
>() {}

/** Of several writes of one owner only the last one: the ones before would be overwritten in the same statement. */
const latest = (writes: ReadonlyArray<Write>): ReadonlyArray<Write> =>
  Array.from(new Map(writes.map((one) => [`${keyOf(one.actor, one.id)}\u0000${one.owner}`, one])).values())

const keyOf = (actor: string, id: string): string => `${actor}\u0000${id}`

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** The new versions by actor and id; what is not among them has another owner. */
  const update = (writes: ReadonlyArray<Write>) =>
    Effect.gen(function* () {
      const now = new Date(yield* Clock.currentTimeMillis)
      const rows = yield* sql<{ actor: string; id: string; version: number }>`
        update actor_states s
        set state = w.state, schema_version = w."schemaVersion", version = s.version + 1, updated_at = ${now}
        from jsonb_to_recordset(${JSON.stringify(writes)}::text::jsonb)
          as w (actor text, id text, owner uuid, "schemaVersion" int, state jsonb)
        where s.actor = w.actor and s.id = w.id and s.owner = w.owner
        returning s.actor, s.id, s.version::float8 as version`
      return new Map(rows.map((row) => [keyOf(row.actor, row.id), row.version]))
    }).pipe(orUnavailable)

  const stale = ({ actor, id }: Write) => new StaleOwner({ actor, id })

  const write = yield* Groups.make<Write, number, StaleOwner | DatabaseUnavailable>({
    sizeMax: writesMax,
    full: () => new DatabaseUnavailable({ cause: `${Groups.waitingMax} states wait to be written` }),
    run: (writes) =>
      update(latest(writes)).pipe(
        Effect.exit,
        Effect.map((exit) =>
          writes.map((one): Exit.Exit<number, StaleOwner | DatabaseUnavailable> => {
            if (Exit.isFailure(exit)) return Exit.failCause(exit.cause)
            const version = exit.value.get(keyOf(one.actor, one.id))
            return version === undefined ? Exit.fail(stale(one)) : Exit.succeed(version)
          })
        )
      )
  })

  return States.of({
    claim: (actor, id, owner, schemaVersion) =>
      Effect.gen(function* () {
        const now = new Date(yield* Clock.currentTimeMillis)
        const [row] = yield* sql<{ state: unknown; schema_version: number; version: number }>`
          insert into actor_states (actor, id, owner, schema_version, updated_at)
          values (${actor}, ${id}, ${owner}::uuid, ${schemaVersion}, ${now})
          on conflict (actor, id) do update set owner = excluded.owner
          returning state, schema_version, version::float8 as version`
        return { state: row!.state, schemaVersion: row!.schema_version, version: row!.version }
      }).pipe(orUnavailable),
    write
  })
})

/** In Postgres. */
export const layerSql: Layer.Layer<States, never, SqlClient.SqlClient> = Layer.scoped(States, make)

/** In memory, for tests without a database: the same rules. */
export const layerMemory: Layer.Layer<States> = Layer.sync(States, () => {
  const rows = new Map<string, { owner: string; snapshot: Snapshot }>()
  const write = (one: Write) =>
    Effect.suspend(() => {
      const row = rows.get(keyOf(one.actor, one.id))
      if (row === undefined || row.owner !== one.owner)
        return Effect.fail(new StaleOwner({ actor: one.actor, id: one.id }))
      const version = row.snapshot.version + 1
      row.snapshot = { state: one.state, schemaVersion: one.schemaVersion, version }
      return Effect.succeed(version)
    })
  return {
    claim: (actor, id, owner, schemaVersion) =>
      Effect.sync(() => {
        const known = rows.get(keyOf(actor, id))?.snapshot
        const snapshot = known ?? { state: null, schemaVersion, version: 0 }
        rows.set(keyOf(actor, id), { owner, snapshot })
        return snapshot
      }),
    write
  }
})
