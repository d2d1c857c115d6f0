import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Settings } from "../config/Settings.ts"
import { Store } from "../store/Store.ts"
import { AtHand, type Source } from "./AtHand.ts"
import * as Coalesced from "./Coalesced.ts"
import * as Drainer from "./Drainer.ts"
import { Flights } from "./Flights.ts"
import { batchInterval, behindMax, behindTries, type Options, type Stats } from "./Options.ts"
import type { NearEntry } from "./Near.ts"
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
  /** Through: this process and the store have it when the Effect returns; other processes hear of it and forget theirs. */
  readonly set: (key: K, value: A) => Effect.Effect<void>
  /** Behind: this process has it at once; `writeMany` and the store get it in the next batch, at the latest at shutdown. */
  readonly setBehind: (key: K, value: A) => Effect.Effect<void>
  /** Call it after the change is committed. */
  readonly invalidate: (...keys: ReadonlyArray<K>) => Effect.Effect<void>
  readonly stats: Effect.Effect<Stats>
  /** Share of reads answered without the lookup since start, 0 to 1. NaN before the first read. */
  readonly hitRate: Effect.Effect<number>
}

/** The parts of one cache. */
interface Parts<K, A, I, E, R> {
  readonly options: Options<K, A, I, E, R>
  readonly shelf: Shelf<K, A, I>
  readonly flights: Flights<K, A, I, E, R>
  /** Values of `setBehind` that the next batch will write; read before the store. */
  readonly behind: Map<string, readonly [key: K, value: A]>
  /** Keys invalidated while their value of `setBehind` was on its way: only the lookup knows which came last. */
  readonly doubtful: Set<string>
}

const forget = <K, A, I, E, R>({ flights, shelf }: Parts<K, A, I, E, R>, keys: ReadonlyArray<string>): void => {
  for (const key of keys) {
    shelf.near?.delete(key)
    flights.forget(key)
  }
}

/** A hit is a look at a Map and at the clock. */
const reading = <K, A, I, E, R>({ behind, flights, options, shelf }: Parts<K, A, I, E, R>) => {
  const near = (key: string): NearEntry<A> | undefined => {
    const hit = shelf.near?.fresh(key, shelf.now())
    if (hit !== undefined) shelf.nearHit()
    return hit
  }
  const ahead = (hit: NearEntry<A>, key: string, input: K): Effect.Effect<void> => {
    hit.refreshAt = Infinity
    return flights.refresh(key, input)
  }
  const waiting = (key: string): Option.Option<A> | undefined => {
    const entry = behind.get(key)
    if (entry === undefined) return undefined
    shelf.nearHit()
    return Option.some(entry[1])
  }
  const source: Source<K, Option.Option<A>, E> = {
    peek: (input) => {
      if (shelf.near === undefined) return undefined
      const now = shelf.now()
      const hit = shelf.near.fresh(options.key(input), now)
      if (hit === undefined || hit.refreshAt <= now) return undefined
      shelf.nearHit()
      return hit.exit
    },
    read: (input) => {
      const key = options.key(input)
      const hit = near(key)
      if (hit !== undefined) return Effect.zipRight(ahead(hit, key, input), hit.exit)
      const own = waiting(key)
      return own === undefined ? flights.get(key, input) : Effect.succeed(own)
    }
  }
  const getMany = (inputs: ReadonlyArray<K>): Effect.Effect<ReadonlyMap<string, A>, E> =>
    Effect.suspend(() => {
      const now = shelf.now()
      const found = new Map<string, A>()
      const away: Array<string> = []
      const inputsAway: Array<K> = []
      const due: Array<Effect.Effect<unknown>> = []
      for (const input of inputs) {
        const key = options.key(input)
        const hit = near(key)
        if (hit !== undefined && hit.refreshAt <= now) due.push(ahead(hit, key, input))
        const value = hit?.exit.value ?? waiting(key)
        if (value === undefined) {
          away.push(key)
          inputsAway.push(input)
        } else if (Option.isSome(value)) found.set(key, value.value)
      }
      const first = due.length === 0 ? Effect.void : Effect.all(due, { discard: true })
      const then = away.length === 0 ? Effect.void : flights.getMany(away, inputsAway, found)
      return Effect.as(Effect.zipRight(first, then), found)
    })
  return { get: (input: K) => new AtHand(source, input), getMany }
}

/** Near first: what is heard of the key after that is newer than this value. */
const keep = <K, A, I, E, R>(parts: Parts<K, A, I, E, R>, key: string, input: K, value: A): Effect.Effect<void> =>
  Effect.sync(() => {
    forget(parts, [key])
    parts.shelf.keep(key, input, Option.some(value), true)
  })

const invalidate = <K, A, I, E, R>(parts: Parts<K, A, I, E, R>, keys: ReadonlyArray<string>): Effect.Effect<void> => {
  if (keys.length === 0) return Effect.void
  return Effect.suspend(() => {
    for (const key of keys) if (parts.behind.has(key)) parts.doubtful.add(key)
    // Not before the removal: until then a read may take the old value from the store.
    return Effect.andThen(parts.shelf.remove(keys), () => forget(parts, keys))
  })
}

const set = <K, A, I, E, R>(parts: Parts<K, A, I, E, R>, input: K, value: A): Effect.Effect<void> =>
  Effect.suspend(() => {
    const key = parts.options.key(input)
    // A value of setBehind that still waits is older than this one.
    parts.behind.delete(key)
    return Effect.zipRight(keep(parts, key, input, value), parts.shelf.write([[key, input, value]]))
  })

type Batch<K, A> = ReadonlyArray<readonly [key: string, entry: readonly [input: K, value: A]]>

/** First to where the values belong, then to the store, unless it has one set since. What is given up is forgotten. */
const write = <K, A, I, E, R>(parts: Parts<K, A, I, E, R>, batch: Batch<K, A>): Effect.Effect<void, never, R> => {
  if (batch.length === 0) return Effect.void
  const { behind, options, shelf } = parts
  const toStore = Effect.suspend(() => {
    const current = batch.filter(([key, entry]) => behind.get(key) === entry)
    return shelf.write(current.map(([key, [input, value]]) => [key, input, value]))
  })
  return Effect.suspend(() => options.writeMany?.(batch.map(([, entry]) => entry)) ?? Effect.void).pipe(
    Effect.retry({ schedule: Schedule.jittered(Schedule.exponential(batchInterval)), times: behindTries - 1 }),
    Effect.zipRight(toStore),
    Effect.catchAllCause((cause) =>
      Effect.suspend(() => {
        shelf.count("lost", batch.length)
        const keys = batch.map(([key]) => key)
        const warned = Effect.logWarning(`Cache ${options.name}: ${batch.length} writes behind were given up`, cause)
        return Effect.zipRight(warned, invalidate(parts, keys))
      })
    )
  )
}

/** One batch of all that waits. */
const flush = <K, A, I, E, R>(parts: Parts<K, A, I, E, R>): Effect.Effect<void, never, R> =>
  Effect.suspend(() => {
    const { behind, doubtful } = parts
    const batch = [...behind]
    doubtful.clear()
    return Effect.andThen(write(parts, batch), () => {
      for (const [key, entry] of batch) if (behind.get(key) === entry) behind.delete(key)
      return invalidate(parts, [...doubtful])
    })
  })

/** Near entries follow what other processes change, key by key and by tags. */
const follow = <K, A, I, E, R>({ flights, options, shelf }: Parts<K, A, I, E, R>, store: typeof Store.Service) => {
  const keys = store.follow(shelf.prefix, (change) => {
    if (change._tag === "Changed") {
      for (const name of change.keys) {
        const key = shelf.keyOf(name)
        shelf.near?.delete(key)
        flights.heard(key)
      }
      return
    }
    shelf.following = change._tag === "Following"
    shelf.near?.clear()
    flights.heardAll()
  })
  const tags = options.tags?.tags.follow((invalidated) => {
    if (invalidated === undefined) shelf.near?.clear()
    else for (const tag of invalidated) shelf.near?.deleteTagged(tag)
    // It is not known yet which tags the values under way will have.
    flights.forgetAll()
  })
  return Effect.zipRight(keys, tags ?? Effect.void)
}

/**
 * A cache for as long as the scope lives; its values age by the clock it is made under. `Settings.cache.compression`
 * decides whether values over `compressOver` are compressed. At shutdown what waits for its batch is written.
 */
export const make = <K, A, I, E = never, R = never>(
  options: Options<K, A, I, E, R>
): Effect.Effect<Cache<K, A, E>, never, Store | Settings | Scope.Scope | R> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<R>()
    const { compression } = (yield* Settings).cache
    const store = yield* Store
    const scope = yield* Effect.scope
    const nonce = yield* Effect.all([Random.nextIntBetween(0, 2 ** 31), Random.nextIntBetween(0, 2 ** 31)])
    const instance = nonce.map((n) => n.toString(36)).join("")
    let stamps = 0
    const clock = yield* Effect.clock
    const shelf = new Shelf<K, A, I>(options, store, clock, () => `${instance}-${stamps++}`, compression)
    // What the store did not take is tried again by the same fiber that writes the batches.
    const settle: Effect.Effect<void> = Effect.suspend(() => (shelf.isOwing ? batches.kick : Effect.void))
    const flights = new Flights(options, shelf, scope, context, settle)
    const parts: Parts<K, A, I, E, R> = { options, shelf, flights, behind: new Map(), doubtful: new Set() }
    // One batch at a time, or the older values could be written last.
    const flushed = Coalesced.make(Effect.provide(flush(parts), context))
    const pass = Effect.andThen(flushed, () => invalidate(parts, shelf.owes))
    const isMore = Effect.sync(() => parts.behind.size > 0 || shelf.isOwing)
    const batches = Drainer.make(scope, batchInterval, Effect.zipRight(pass, isMore))
    yield* Effect.addFinalizer(() => pass)
    yield* follow(parts, store)
    return {
      name: options.name,
      ...reading(parts),
      // Whoever asks may go away meanwhile: other processes would not hear of what has been changed.
      set: (input, value) => Effect.uninterruptible(Effect.zipRight(set(parts, input, value), settle)),
      setBehind: (input, value) =>
        Effect.suspend(() => {
          const key = options.key(input)
          parts.behind.set(key, [input, value])
          const written = parts.behind.size > behindMax ? flushed : batches.kick
          return Effect.zipRight(keep(parts, key, input, value), written)
        }),
      invalidate: (...inputs) =>
        Effect.uninterruptible(Effect.zipRight(invalidate(parts, inputs.map(options.key)), settle)),
      stats: Effect.sync(() => shelf.stats()),
      hitRate: Effect.sync(() => {
        const { misses, nearHits, storeHits } = shelf.stats()
        return (nearHits + storeHits) / (nearHits + storeHits + misses)
      })
    }
  })
