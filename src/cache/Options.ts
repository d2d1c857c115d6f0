import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type { Tagging } from "./Tags.ts"

/** Keys whose lookup is shared at one time; beyond that each caller looks up for itself. */
export const flightsMax = 10_000
/** Values waiting for `setBehind`'s next batch; beyond that each caller waits until it is written. */
export const behindMax = 1_000
/** Keys whose invalidation the store has not taken yet; beyond that the oldest is forgotten and counted as lost. */
export const owedMax = 10_000
/** How long `setBehind` gathers, and how often an invalidation that the store did not take is tried again. */
export const batchInterval = Duration.millis(100)
/** Times a batch of `setBehind` is tried before it is given up and counted as lost. */
export const behindTries = 5
/** A lookup that runs longer than this is not put into the store. */
export const leaseTtl = Duration.seconds(30)
/** How long callers wait for a lookup that another process has begun; after that they begin their own. */
export const leaseWait = Duration.seconds(2)
/** While they wait for its news they also look into the store this often: the other process or the news may be lost. */
export const leasePoll = Duration.millis(100)
/** While changes made elsewhere go unseen, or the store did not take a value, it is kept near for this long at most. */
export const untrackedTtl = Duration.seconds(1)
/** Refreshes ahead of time that run at one time; beyond that values are looked up when they run out. */
export const refreshesMax = 64
/** After a stale value was served because the lookup failed, the lookup rests for this long. */
export const graceBackoff = Duration.seconds(1)
/** What `decodedLengthMax` is where a cache does not say: some thousand small values. */
export const decodedLengthMax = 1_048_576
/** Scripts of one call that are sent at one time: of more the last would not be answered in time. */
export const scriptConcurrency = 128
/** Separate lookups of one `getMany` that run at one time. */
export const lookupConcurrency = 16

export interface Options<K, A, I, E, R> {
  /** Names the keys in the store, `cache:<name>:<key>`, and the metrics. One cache of a name in each process. */
  readonly name: string
  readonly key: (key: K) => string
  readonly schema: Schema.Schema<A, I>
  readonly ttl: Duration.DurationInput
  /** Values kept in this process. Absent: every read asks the store. */
  readonly near?: {
    readonly entriesMax: number
    /** Together, as JSON in UTF-16 units. Absent: values of one kind are of one size, and their number bounds them. */
    readonly bytesMax?: number
    readonly ttl: Duration.DurationInput
  }
  /**
   * Without `near`: values that are not decoded again while the store gives the very same text, bytes from Redis or
   * UTF-16 units in memory together; every read asks the store all the same. Callers share such a value. 0: each read decodes.
   */
  readonly decodedLengthMax?: number
  /** For this long after `ttl` the old value is served when the lookup fails. */
  readonly grace?: Duration.DurationInput
  /**
   * Share of `ttl` (0 to 1) after which a value that is read is looked up again while it is still served; one process
   * does it for all. Absent: when it has run out.
   */
  readonly refreshAt?: number
  /** The absence of a value is remembered for this long. Absent: not at all. */
  readonly negativeTtl?: Duration.DurationInput
  /** What the values were made from: `Tags.invalidate` forgets them with it. From `Tags.by`. */
  readonly tags?: Tagging<K, A>
  /** Values longer than this many UTF-16 units of JSON are compressed, when `Settings.cache.compression` is on. */
  readonly compressOver?: number
  /**
   * A value like those kept, the same in all processes: what a compressed value shares with it (the names of fields, the
   * usual words) is not stored again. With another one the compressed values of before count as absent.
   */
  readonly example?: A
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
