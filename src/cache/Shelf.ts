import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { StoreUnavailable } from "../errors.ts"
import { type Store, ttlMillis } from "../store/Store.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Envelope from "./Envelope.ts"
import { Near } from "./Near.ts"
import { graceBackoff, markTtl, owedMax, type Options, type Stats } from "./Options.ts"

/** A value past its time that may still be served when the lookup fails. */
export interface Stale<A> {
  readonly value: Option.Option<A>
  readonly staleUntil: number
}

/** What the store had for a key: a value, or what a lookup needs to know to put one there. */
export type Read<A> =
  | { readonly _tag: "Hit"; readonly value: Option.Option<A>; readonly until: number; readonly staleUntil: number }
  | { readonly _tag: "Miss"; readonly header: string; readonly stale: Stale<A> | undefined }
  /** The store is away, or owed an invalidation of this key: it is neither read nor filled. */
  | { readonly _tag: "Away" }

/** Compressing less than this many UTF-16 units saves nothing. */
const compressOverDefault = 2_048

const away: Read<never> = { _tag: "Away" }

const noLabels: ReadonlyArray<never> = []

/** The series of one cache, and the same figures since start for its own `stats`. */
const figures = (name: string) => {
  const counts = { nearHits: 0, storeHits: 0, misses: 0, stale: 0, evictions: 0, lost: 0 }
  const series = {
    nearHits: Metrics.series(Metrics.cacheHits, name, "near"),
    storeHits: Metrics.series(Metrics.cacheHits, name, "store"),
    misses: Metrics.series(Metrics.cacheMisses, name),
    stale: Metrics.series(Metrics.cacheStale, name),
    evictions: Metrics.series(Metrics.cacheEvictions, name),
    lost: Metrics.series(Metrics.cacheLost, name)
  }
  const count = (what: keyof typeof counts, by = 1): void => {
    counts[what] += by
    series[what].unsafeUpdate(by, noLabels)
  }
  return {
    count,
    counts,
    failed: () => Metrics.series(Metrics.cacheFailures, name).unsafeUpdate(1, noLabels),
    entries: (size: number) => Metrics.series(Metrics.cacheEntries, name).unsafeUpdate(size, noLabels)
  }
}

/** Where the values of one cache lie: near in this process, and in the store. It knows nothing of lookups. */
export class Shelf<A, I> {
  readonly near: Near<A> | undefined
  readonly count: (what: "nearHits" | "storeHits" | "misses" | "stale" | "evictions" | "lost", by?: number) => void
  readonly grace: number
  private readonly store: typeof Store.Service
  private readonly prefix: string
  private readonly ttl: number
  private readonly nearTtl: number
  private readonly negativeTtl: number
  private readonly codec: ReturnType<typeof Envelope.codec<A, I>>
  private readonly figures: ReturnType<typeof figures>
  /** Keys that the store may still have an old value of. */
  private readonly owed = new Set<string>()

  constructor(
    options: Options<never, A, I, unknown, unknown>,
    store: typeof Store.Service,
    stamp: () => string,
    compress: boolean
  ) {
    this.store = store
    this.prefix = `cache:${options.name}:`
    this.ttl = ttlMillis(options.ttl) ?? Number.MAX_SAFE_INTEGER / 2
    this.nearTtl = options.near === undefined ? 0 : (ttlMillis(options.near.ttl) ?? Infinity)
    this.grace = options.grace === undefined ? 0 : Duration.toMillis(options.grace)
    this.negativeTtl = options.negativeTtl === undefined ? 0 : Duration.toMillis(options.negativeTtl)
    this.codec = Envelope.codec(
      options.schema,
      compress ? (options.compressOver ?? compressOverDefault) : Infinity,
      stamp
    )
    this.figures = figures(options.name)
    this.count = this.figures.count
    this.near = options.near && new Near<A>(options.near.entriesMax, () => this.count("evictions"))
  }

  get owes(): ReadonlyArray<string> {
    return [...this.owed]
  }

  /** Whether such a value is kept at all: absence is not, without `negativeTtl`. */
  keeps(value: Option.Option<A>): boolean {
    return this.lifetime(value)[0] > 0
  }

  /** In this process only. */
  keep(key: string, value: Option.Option<A>, now: number): void {
    const [ttl, grace] = this.lifetime(value)
    if (ttl > 0) this.near?.set(key, value, now + Math.min(this.nearTtl, ttl), now + ttl + grace)
  }

  /** In this process, what was read from the store. */
  keepRead(key: string, read: Extract<Read<A>, { _tag: "Hit" }>, now: number): void {
    this.near?.set(key, read.value, Math.min(now + this.nearTtl, read.until), read.staleUntil)
  }

  /** Serves a stale value for a little while, so that a failing lookup is not asked by everyone. */
  keepStale(key: string, stale: Stale<A>, now: number): void {
    const until = Math.min(now + Duration.toMillis(graceBackoff), stale.staleUntil)
    this.near?.set(key, stale.value, until, stale.staleUntil)
  }

  /** In the order of the keys. */
  read(keys: ReadonlyArray<string>, now: number): Effect.Effect<ReadonlyArray<Read<A>>> {
    const names = keys.map((key) => this.prefix + key)
    return Effect.match(this.store.getMany(names), {
      onFailure: () => {
        this.figures.failed()
        return keys.map(() => away)
      },
      onSuccess: (texts) =>
        keys.map((key, index) =>
          this.owed.has(key)
            ? away
            : this.parse(
                Option.getOrElse(texts[index]!, () => ""),
                now
              )
        )
    })
  }

  /** Puts what a lookup found into the store, unless the key has changed since `header` was read. */
  fill(key: string, header: string, value: Option.Option<A>, now: number): Effect.Effect<void> {
    const [ttl, grace] = this.lifetime(value)
    if (ttl <= 0) return Effect.void
    const args = [header, this.codec.encode(value, now + ttl), String(Math.ceil(ttl + grace))]
    return Effect.match(this.store.run(Envelope.fill, [this.prefix + key], args), {
      onFailure: this.figures.failed,
      onSuccess: () => undefined
    })
  }

  put(entries: ReadonlyArray<readonly [key: string, value: A]>): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const texts = entries.map(
        ([key, value]) => [this.prefix + key, this.codec.encode(Option.some(value), now + this.ttl)] as const
      )
      const keys = entries.map(([key]) => key)
      return this.orOwe(keys, this.store.setMany(texts, this.ttl + this.grace))
    })
  }

  /** Marks instead of nothing, so that a lookup begun before cannot put its value back. */
  mark(keys: ReadonlyArray<string>): Effect.Effect<void> {
    const marks = keys.map((key) => [this.prefix + key, this.codec.mark()] as const)
    return this.orOwe(keys, this.store.setMany(marks, markTtl))
  }

  stats(): Stats {
    const nearEntries = this.near?.size ?? 0
    this.figures.entries(nearEntries)
    return { ...this.figures.counts, nearEntries }
  }

  hitRate(): number {
    const { misses, nearHits, storeHits } = this.figures.counts
    return (nearHits + storeHits) / (nearHits + storeHits + misses)
  }

  private lifetime(value: Option.Option<A>): readonly [ttl: number, grace: number] {
    return Option.isSome(value) ? [this.ttl, this.grace] : [this.negativeTtl, 0]
  }

  private parse(text: string, now: number): Read<A> {
    const found = text === "" ? undefined : this.codec.decode(text)
    if (found === undefined) return { _tag: "Miss", header: Envelope.header(text), stale: undefined }
    const { freshUntil, value } = found
    const staleUntil = freshUntil + this.grace
    return freshUntil > now
      ? { _tag: "Hit", value, until: freshUntil, staleUntil }
      : { _tag: "Miss", header: Envelope.header(text), stale: { value, staleUntil } }
  }

  /** What the store did not take is owed to it: until it is, reads of those keys go past the store. */
  private orOwe(keys: ReadonlyArray<string>, write: Effect.Effect<unknown, StoreUnavailable>): Effect.Effect<void> {
    return Effect.match(write, {
      onSuccess: () => {
        for (const key of keys) this.owed.delete(key)
      },
      onFailure: () => {
        this.figures.failed()
        for (const key of keys) this.owed.add(key)
        for (const oldest of this.owed) {
          if (this.owed.size <= owedMax) break
          this.owed.delete(oldest)
          this.count("lost")
        }
      }
    })
  }
}
