import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Broadcast } from "../broadcast/Broadcast.ts"
import * as Arguments from "../cache/Arguments.ts"
import * as Cache from "../cache/Cache.ts"
import { Tags } from "../cache/Tags.ts"
import { Settings } from "../config/Settings.ts"
import type { Store } from "../store/Store.ts"
import { Database } from "./Database.ts"
import { tableOf } from "./Writes.ts"

/** Results of one statement kept in a process, by its parameters: so many, and so large together as JSON. */
export const near = { entriesMax: 1_000, bytesMax: 4 * 1_048_576 } as const

export interface Options<Args extends ReadonlyArray<unknown>, A, I, E> {
  /** What is read, such as `waiting`: names the keys and the metrics of its cache. */
  readonly name: string
  /** Every table that the statement reads, without its schema. A write to one of them through any program's client forgets the results. */
  readonly tables: ReadonlyArray<string>
  readonly schema: Schema.Schema<A, I>
  /** For what our client does not see: triggers, cascades, other programs. */
  readonly ttl: Duration.DurationInput
  /** Reads. Its arguments are the parameters, and all that the result depends on. */
  readonly statement: (...args: Args) => Effect.Effect<A, E>
}

/** A statement whose results may be kept. */
export type Kept<Args extends ReadonlyArray<unknown>, A, E> = (...args: Args) => Effect.Effect<A, E>

interface Shape {
  readonly keep: <Args extends ReadonlyArray<unknown>, A, I, E>(
    options: Options<Args, A, I, E>
  ) => Effect.Effect<Kept<Args, A, E>, never, Scope.Scope>
}

/**
 * Keeps results of frequent reads until a table that they were read from is written: here at once, in other processes as
 * the news comes in. Without the layer, or with `ENABLE_QUERY_CACHE` off, every call runs its statement; inside a
 * transaction always.
 */
export class QueryCache extends Context.Reference<QueryCache>()("@connect/QueryCache", {
  defaultValue: (): Shape => ({ keep: ({ statement }) => Effect.succeed(statement) })
}) {}

const tagOf = (table: string): string => `table:${table}`

/** Forgets by table what this process writes; only tables that results were read from. */
const followWrites = (tables: ReadonlySet<string>) =>
  Effect.gen(function* () {
    const tags = yield* Tags
    const { onWritten } = yield* Database
    const run = yield* FiberSet.makeRuntime<never>()
    // Tables written again while the store hears of the last time; there is one fiber at most.
    const again = new Set<string>()
    let isTelling = false
    const tell: Effect.Effect<void> = Effect.suspend(() => {
      const written = [...again].map(tagOf)
      again.clear()
      return Effect.zipRight(
        tags.invalidate(...written),
        Effect.suspend(() => (again.size > 0 ? tell : Effect.void))
      )
    })
    yield* onWritten((written) => {
      for (const table of written) if (tables.has(table)) again.add(table)
      if (again.size === 0 || isTelling) return
      isTelling = true
      run(
        Effect.ensuring(
          tell,
          Effect.sync(() => (isTelling = false))
        ),
        { immediate: true }
      )
    })
  })

const make = Effect.gen(function* () {
  const tags = yield* Tags
  const known = new Set<string>()
  yield* followWrites(known)
  const context = yield* Effect.context<Store | Broadcast | Settings>()

  const keep: Shape["keep"] = <Args extends ReadonlyArray<unknown>, A, I, E>({
    name,
    schema,
    statement,
    tables,
    ttl
  }: Options<Args, A, I, E>) =>
    Effect.gen(function* () {
      const read = tables.map(tableOf)
      for (const table of read) known.add(table)
      const tagged = read.map(tagOf)
      const cache = yield* Cache.make({
        name: `query_${name}`,
        key: (args: Args) => Arguments.key(args),
        schema,
        ttl,
        near: { ...near, ttl },
        tags: tags.by(() => tagged),
        lookup: (args) => Effect.asSome(statement(...args))
      }).pipe(Effect.provide(context))
      return (...args: Args) =>
        Effect.flatMap(Effect.serviceOption(SqlClient.TransactionConnection), (transaction) =>
          Option.isSome(transaction) ? statement(...args) : Effect.map(cache.get(args), Option.getOrThrow)
        )
    })
  return { keep }
})

export const layer = Layer.unwrapEffect(
  Effect.map(Settings, ({ database }) => (database.queryCache ? Layer.scoped(QueryCache, make) : Layer.empty))
)
