import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Duration from "effect/Duration"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { Settings } from "../config/Settings.ts"
import type { Store } from "../store/Store.ts"
import * as Cache from "./Cache.ts"

/** Results of one decorated method kept in a process. */
export const nearMax = 1_000

/** A call that is made when no result is kept under its key. */
export interface Call {
  readonly key: string
  readonly run: Effect.Effect<unknown, unknown>
}

/** What all calls of one decorated method have in common. */
export interface Definition {
  readonly name: string
  readonly ttl: Duration.DurationInput
  readonly schema: Schema.Schema.AnyNoContext
}

/** Where decorated methods keep their results when they are to be shared: near, in the Store and across processes. */
export class Caches extends Context.Tag("@connect/Caches")<
  Caches,
  { readonly get: (definition: Definition, call: Call) => Effect.Effect<unknown, unknown> }
>() {}

/** Makes the cache of a name at its first call; it lives as long as the layer. Two methods of one name are a defect. */
export const layer: Layer.Layer<Caches, never, Store | Settings> = Layer.scoped(
  Caches,
  Effect.gen(function* () {
    const context = yield* Effect.context<Store | Settings>()
    const scope = yield* Effect.scope
    const made = new Map<
      string,
      { readonly by: Definition; readonly cache: Effect.Effect<Cache.Cache<Call, unknown, unknown>> }
    >()
    const make = ({ name, schema, ttl }: Definition) =>
      Cache.make({
        name,
        schema: schema as Schema.Schema<unknown, unknown>,
        ttl,
        key: (call: Call) => call.key,
        near: { entriesMax: nearMax, ttl },
        lookup: ({ run }) => Effect.map(run, Option.some)
      }).pipe(Effect.provide(context), Scope.extend(scope), Effect.uninterruptible)
    const of = (definition: Definition): Effect.Effect<Cache.Cache<Call, unknown, unknown>> =>
      Effect.suspend(() => {
        const known = made.get(definition.name)
        if (known?.by === definition) return known.cache
        if (known !== undefined) return Effect.dieMessage(`Two methods are cached as "${definition.name}"`)
        return Effect.flatMap(Effect.cached(make(definition)), (cache) => {
          // Another caller may have come first.
          if (!made.has(definition.name)) made.set(definition.name, { by: definition, cache })
          return of(definition)
        })
      })
    return {
      get: (definition, call) =>
        Effect.flatMap(of(definition), (cache) => Effect.map(cache.get(call), Option.getOrThrow))
    }
  })
)
