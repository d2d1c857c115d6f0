import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Supervised from "../actor/Supervised.ts"
import { Broadcast } from "../broadcast/Broadcast.ts"
import { Settings } from "../config/Settings.ts"
import { Store } from "../store/Store.ts"
import * as Drainer from "./Drainer.ts"
import { Flights } from "./Flights.ts"
import { batchInterval, behindMax, behindTries, type Options, type Stats } from "./Options.ts"
import { Shelf } from "./Shelf.ts"

export { behindTries, type Options, type Stats } from "./Options.ts"

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

/** What processes tell each other on `cache:<name>`. */
interface Changed {
  readonly from: string
  readonly keys: ReadonlyArray<string>
}

/** The parts of one cache. */
interface Parts<K, A, I, E, R> {
  readonly options: Options<K, A, I, E, R>
  readonly shelf: Shelf<A, I>
  readonly flights: Flights<K, A, I, E, R>
  /** Values of `setBehind` that the next batch will write; read before the store. */
  readonly behind: Map<string, readonly [key: K, value: A]>
  /** Tells other processes. */
  readonly tell: (keys: ReadonlyArray<string>) => Effect.Effect<void>
}

const forget = <K, A, I, E, R>({ flights, shelf }: Parts<K, A, I, E, R>, keys: ReadonlyArray<string>): void => {
  for (const key of keys) {
    shelf.near?.delete(key)
    flights.forget(key)
  }
}

/** A hit is a look at a Map in one step: no span, no allocation. */
const reading = <K, A, I, E, R>({ behind, flights, options, shelf }: Parts<K, A, I, E, R>) => {
  const wait = (key: string, input: K): Effect.Effect<Option.Option<A>, E> => {
    const waiting = behind.get(key)
    if (waiting !== undefined) {
      shelf.count("nearHits")
      return Effect.succeedSome(waiting[1])
    }
    const flying = flights.of(key)
    if (flying !== undefined) return Deferred.await(flying.result)
    return Effect.flatMap(flights.launch([[key, input]]), ([flight]) => Deferred.await(flight!.result))
  }
  const waitMany = (away: ReadonlyMap<string, K>, found: Map<string, A>): Effect.Effect<ReadonlyMap<string, A>, E> =>
    Effect.gen(function* () {
      const flying = [...away.keys()].flatMap((key) => flights.of(key) ?? [])
      const launched = yield* flights.launch([...away].filter(([key]) => flights.of(key) === undefined))
      for (const { key, result } of [...flying, ...launched]) {
        const value = yield* Deferred.await(result)
        if (Option.isSome(value)) found.set(key, value.value)
      }
      return found
    })
  const get = (input: K): Effect.Effect<Option.Option<A>, E> =>
    Effect.clockWith((clock) => {
      const key = options.key(input)
      const hit = shelf.near?.fresh(key, clock.unsafeCurrentTimeMillis())
      if (hit === undefined) return wait(key, input)
      shelf.count("nearHits")
      return hit.effect
    })
  const getMany = (inputs: ReadonlyArray<K>): Effect.Effect<ReadonlyMap<string, A>, E> =>
    Effect.clockWith((clock) => {
      const now = clock.unsafeCurrentTimeMillis()
      const found = new Map<string, A>()
      const away = new Map<string, K>()
      for (const input of inputs) {
        const key = options.key(input)
        const hit = shelf.near?.fresh(key, now)
        const value = hit?.value ?? Option.map(Option.fromNullable(behind.get(key)), ([, waiting]) => waiting)
        if (hit === undefined && Option.isNone(value)) away.set(key, input)
        else shelf.count("nearHits")
        if (Option.isSome(value)) found.set(key, value.value)
      }
      return away.size === 0 ? Effect.succeed(found) : waitMany(away, found)
    })
  return { get, getMany }
}

const keep = <K, A, I, E, R>(parts: Parts<K, A, I, E, R>, key: string, value: A): Effect.Effect<void> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    forget(parts, [key])
    parts.shelf.keep(key, Option.some(value), now)
  })

const invalidate = <K, A, I, E, R>(parts: Parts<K, A, I, E, R>, keys: ReadonlyArray<string>): Effect.Effect<void> => {
  if (keys.length === 0) return Effect.void
  const forgotten = Effect.sync(() => forget(parts, keys))
  // Twice: a read between the first time and the mark may have taken the old value from the store.
  return Effect.all([forgotten, parts.shelf.mark(keys), forgotten, parts.tell(keys)], { discard: true })
}

const set = <K, A, I, E, R>(parts: Parts<K, A, I, E, R>, input: K, value: A): Effect.Effect<void> =>
  Effect.suspend(() => {
    const key = parts.options.key(input)
    // A value of setBehind that still waits is older than this one.
    parts.behind.delete(key)
    forget(parts, [key])
    return Effect.all([parts.shelf.put([[key, value]]), keep(parts, key, value), parts.tell([key])], { discard: true })
  })

type Batch<K, A> = ReadonlyArray<readonly [key: string, entry: readonly [input: K, value: A]]>

/** First to where the values belong, then to the store. */
const write = <K, A, I, E, R>({ options, shelf, tell }: Parts<K, A, I, E, R>, batch: Batch<K, A>) => {
  if (batch.length === 0) return Effect.void
  return Effect.retry(options.writeMany?.(batch.map(([, entry]) => entry)) ?? Effect.void, {
    schedule: Schedule.jittered(Schedule.exponential(batchInterval)),
    times: behindTries - 1
  }).pipe(
    Effect.matchCauseEffect({
      onSuccess: () =>
        Effect.zipRight(shelf.put(batch.map(([key, [, value]]) => [key, value])), tell(batch.map(([key]) => key))),
      onFailure: (cause) =>
        Effect.zipRight(
          Effect.sync(() => shelf.count("lost", batch.length)),
          Effect.logWarning(`Cache ${options.name}: ${batch.length} writes behind were given up`, cause)
        )
    })
  )
}

/** One batch of what waits, then the invalidations that the store is owed. True when there is more. */
const pass = <K, A, I, E, R>(parts: Parts<K, A, I, E, R>): Effect.Effect<boolean, never, R> =>
  Effect.gen(function* () {
    const batch = [...parts.behind]
    yield* write(parts, batch)
    for (const [key, entry] of batch) if (parts.behind.get(key) === entry) parts.behind.delete(key)
    yield* invalidate(parts, parts.shelf.owes)
    return parts.behind.size > 0 || parts.shelf.owes.length > 0
  })

/** Near entries follow what other processes change. Redis's own tracking of keys will call `forget` here too. */
const follow = <K, A, I, E, R>(parts: Parts<K, A, I, E, R>, instance: string) =>
  Effect.gen(function* () {
    const broadcast = yield* Broadcast
    const signals = yield* broadcast.subscribe<Changed>(`cache:${parts.options.name}`)
    yield* Supervised.fork({
      name: `cache ${parts.options.name} signals`,
      effect: Stream.runForEach(signals, (signal) =>
        Effect.sync(() => {
          if (signal._tag === "Message") {
            if (signal.message.from !== instance) forget(parts, signal.message.keys)
            return
          }
          parts.shelf.near?.clear()
          parts.flights.forgetAll()
        })
      )
    })
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
    const { compression } = (yield* Settings).cache
    const broadcast = yield* Broadcast
    const scope = yield* Effect.scope
    const nonce = yield* Effect.all([Random.nextIntBetween(0, 2 ** 31), Random.nextIntBetween(0, 2 ** 31)])
    const instance = nonce.map((n) => n.toString(36)).join("")
    let stamps = 0
    const shelf = new Shelf<A, I>(options, yield* Store, () => `${instance}-${stamps++}`, compression)
    const parts: Parts<K, A, I, E, R> = {
      options,
      shelf,
      flights: new Flights(options, shelf, scope, context),
      behind: new Map(),
      tell: (keys) => broadcast.publish(`cache:${options.name}`, { from: instance, keys } satisfies Changed)
    }
    const batches = Drainer.make(scope, batchInterval, Effect.provide(pass(parts), context))
    // What the store did not take is tried again by the same fiber that writes the batches.
    const settle = Effect.suspend(() => (shelf.owes.length > 0 ? batches.kick : Effect.void))
    yield* Effect.addFinalizer(() => Effect.provide(pass(parts), context))
    yield* follow(parts, instance)
    return {
      name: options.name,
      ...reading(parts),
      set: (input, value) => Effect.zipRight(set(parts, input, value), settle),
      setBehind: (input, value) =>
        Effect.suspend(() => {
          const key = options.key(input)
          const entry = [input, value] as const
          const room = parts.behind.size < behindMax || parts.behind.has(key)
          if (room) parts.behind.set(key, entry)
          const written = room ? batches.kick : Effect.provide(write(parts, [[key, entry]]), context)
          return Effect.zipRight(keep(parts, key, value), written)
        }),
      invalidate: (...inputs) => Effect.zipRight(invalidate(parts, inputs.map(options.key)), settle),
      stats: Effect.sync(() => shelf.stats()),
      hitRate: Effect.sync(() => shelf.hitRate())
    }
  })
