import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Broadcast } from "../broadcast/Broadcast.ts"
import { Settings } from "../config/Settings.ts"
import { Store } from "../store/Store.ts"
import * as Drainer from "./Drainer.ts"
import { type Changed, Engine } from "./Engine.ts"
import { batchInterval, behindMax, behindTries, type Options, type Stats } from "./Options.ts"

export type { Options, Stats } from "./Options.ts"

/**
 * Values by key: near (this process), then the store, then the lookup. Several callers of one missing key share one
 * lookup, which belongs to the cache and not to them: interrupting a caller harms nobody. A store that is away only
 * costs the lookup. What the lookup fails with reaches the callers as it is.
 */
export interface Cache<K, A, E = never> {
  readonly name: string
  readonly get: (key: K) => Effect.Effect<Option.Option<A>, E>
  /** What was found, by the string that `key` makes. One round trip to the store and one lookup for all. */
  readonly getMany: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyMap<string, A>, E>
  /** Through: this process and the store have it when the Effect returns, and other processes forget what they had. */
  readonly set: (key: K, value: A) => Effect.Effect<void>
  /** Behind: this process has it at once; `writeMany` and the store get it in the next batch, at the latest at shutdown. */
  readonly setBehind: (key: K, value: A) => Effect.Effect<void>
  /** Call it after the change is committed. */
  readonly invalidate: (...keys: ReadonlyArray<K>) => Effect.Effect<void>
  readonly stats: Effect.Effect<Stats>
  /** Share of reads answered without the lookup since start, 0 to 1. NaN before the first read. */
  readonly hitRate: Effect.Effect<number>
}

/** What waits for the batch: first to where it belongs, then to the store, then the invalidations the store is owed. */
const flush = <K, A, I, E, R>(engine: Engine<K, A, I, E, R>, entries: ReadonlyArray<readonly [string, K, A]>) => {
  const { name, writeMany } = engine.options
  if (entries.length === 0) return Effect.void
  const written = writeMany?.(entries.map(([, input, value]) => [input, value] as const)) ?? Effect.void
  return Effect.retry(written, {
    schedule: Schedule.jittered(Schedule.exponential(batchInterval)),
    times: behindTries - 1
  }).pipe(
    Effect.matchCauseEffect({
      onSuccess: () => engine.setMany(entries.map(([key, , value]) => [key, value] as const)),
      onFailure: (cause) =>
        Effect.zipRight(
          Effect.sync(() => engine.lose(entries.length)),
          Effect.logWarning(`Cache ${name}: ${entries.length} writes behind were given up`, cause)
        )
    })
  )
}

const pass = <K, A, I, E, R>(engine: Engine<K, A, I, E, R>): Effect.Effect<boolean, never, R> =>
  Effect.gen(function* () {
    const batch = [...engine.behind]
    yield* flush(
      engine,
      batch.map(([key, [input, value]]) => [key, input, value] as const)
    )
    for (const [key, entry] of batch) if (engine.behind.get(key) === entry) engine.behind.delete(key)
    yield* engine.invalidate([...engine.owed])
    return engine.behind.size > 0 || engine.owed.size > 0
  })

/** Near entries follow what other processes change. Redis's own tracking of keys will feed `changed` here too. */
const follow = <K, A, I, E, R>(engine: Engine<K, A, I, E, R>) =>
  Effect.gen(function* () {
    const broadcast = yield* Broadcast
    const signals = yield* broadcast.subscribe<Changed>(engine.topic)
    yield* Effect.forkScoped(
      Stream.runForEach(signals, (signal) =>
        Effect.sync(() => (signal._tag === "Gap" ? engine.forgetAll() : engine.changed(signal.message)))
      )
    )
  })

/**
 * A cache for as long as the scope lives. `Settings.cache.compression` decides whether values over `compressOver` are
 * compressed. At shutdown what waits for its batch is written.
 */
export const make = <K, A, I, E = never, R = never>(
  options: Options<K, A, I, E, R>
): Effect.Effect<Cache<K, A, E>, never, Store | Broadcast | Settings | Scope.Scope | R> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<R>()
    const settings = yield* Settings
    const scope = yield* Effect.scope
    const nonce = yield* Effect.all([Random.nextIntBetween(0, 2 ** 31), Random.nextIntBetween(0, 2 ** 31)])
    const drainer: { readonly kick: Effect.Effect<void> } = Drainer.make(
      scope,
      batchInterval,
      Effect.suspend(() => Effect.provide(pass(engine), context))
    )
    const engine: Engine<K, A, I, E, R> = new Engine(
      options,
      {
        store: yield* Store,
        broadcast: yield* Broadcast,
        scope,
        instance: nonce.map((n) => n.toString(36)).join(""),
        compress: settings.cache.compression,
        kick: Effect.suspend(() => drainer.kick)
      },
      context
    )
    yield* Effect.addFinalizer(() => Effect.provide(pass(engine), context))
    yield* follow(engine)
    return {
      name: options.name,
      get: (key) => engine.get(key),
      getMany: (keys) => engine.getMany(keys),
      set: (key, value) => engine.set(key, value),
      setBehind: (key, value) =>
        Effect.flatMap(engine.setSoon(key, value, behindMax), (waits) =>
          waits ? drainer.kick : Effect.provide(flush(engine, [[options.key(key), key, value]]), context)
        ),
      invalidate: (...keys) => engine.invalidate(keys.map(options.key)),
      stats: Effect.sync(() => engine.stats()),
      hitRate: Effect.sync(() => engine.hitRate())
    }
  })
