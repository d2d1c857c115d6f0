import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"

/** Keys whose lookup is shared at one time; beyond that each caller looks up for itself. */
export const flightsMax = 10_000
/** Values waiting for `setBehind`'s next batch; beyond that the caller writes its own. */
export const behindMax = 1_000
/** Keys whose invalidation the store has not taken yet; beyond that the oldest is forgotten and counted as lost. */
export const owedMax = 10_000
/** How long `setBehind` gathers, and how often an invalidation that the store did not take is tried again. */
export const batchInterval = Duration.millis(100)
/** Times a batch of `setBehind` is tried before it is given up and counted as lost. */
export const behindTries = 5
/** A lookup that runs longer than this after an invalidation could put an old value back. */
export const markTtl = Duration.seconds(30)
/** After a stale value was served because the lookup failed, the lookup rests for this long. */
export const graceBackoff = Duration.seconds(1)
/** Separate lookups of one `getMany` that run at one time. */
export const lookupConcurrency = 16

export interface Options<K, A, I, E, R> {
  /** Names the keys in the store, the Broadcast topic `cache:<name>` and the metrics. */
  readonly name: string
  readonly key: (key: K) => string
  readonly schema: Schema.Schema<A, I>
  readonly ttl: Duration.DurationInput
  /** Values kept in this process. Absent: every read asks the store. */
  readonly near?: { readonly entriesMax: number; readonly ttl: Duration.DurationInput }
  /** For this long after `ttl` the old value is served when the lookup fails. */
  readonly grace?: Duration.DurationInput
  /** The absence of a value is remembered for this long. Absent: not at all. */
  readonly negativeTtl?: Duration.DurationInput
  /** Values longer than this many UTF-16 units of JSON are compressed, when `Settings.cache.compression` is on. */
  readonly compressOver?: number
  /** One of the two, or neither for a cache that is only set and read. */
  readonly lookup?: (key: K) => Effect.Effect<Option.Option<A>, E, R>
  readonly lookupMany?: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyMap<string, A>, E, R>
  /** Where `setBehind` writes its batches before the store; what it fails with is retried, then counted as lost. */
  readonly writeMany?: (entries: ReadonlyArray<readonly [key: K, value: A]>) => Effect.Effect<void, unknown, R>
}

export interface Stats {
  readonly nearHits: number
  readonly storeHits: number
  readonly misses: number
  /** Old values served because the lookup failed. */
  readonly stale: number
  readonly evictions: number
  readonly nearEntries: number
  /** Values of `setBehind` and invalidations that were given up. */
  readonly lost: number
}
