import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { StoreUnavailable } from "../errors.ts"
import { type Store, ttlMillis } from "../store/Store.ts"
import * as Stored from "../store/Stored.ts"
import { Decoded } from "./Decoded.ts"
import * as Envelope from "./Envelope.ts"
import { type Count, figures } from "./Figures.ts"
import { Near, type Stale, type Times } from "./Near.ts"
import {
  decodedLengthMax,
  graceBackoff,
  leaseTtl,
  owedMax,
  type Options,
  scriptConcurrency,
  type Stats,
  untrackedTtl
} from "./Options.ts"
import { tagTtl } from "./Tags.ts"
import * as WellFormed from "./WellFormed.ts"

/** What the store had for a key, as `stored`: a value, or what a lookup needs to know to put one there. */
export type Read<A> =
  | {
      readonly _tag: "Hit"
      readonly value: Option.Option<A>
      readonly freshUntil: number
      readonly tags: ReadonlyArray<string>
      readonly stored: Stored.Stored
      /** It is time to look it up again, and nobody does. */
      readonly due: boolean
    }
  | { readonly _tag: "Miss"; readonly stored: Stored.Stored; readonly stale: Stale<A> | undefined }
  /** Somebody looks it up. */
  | { readonly _tag: "Leased"; readonly stored: Stored.Stored; readonly stale: Stale<A> | undefined }
  /** The store is away, or owed an invalidation of this key: it is neither read nor filled. */
  | { readonly _tag: "Away" }

export type Hit<A> = Extract<Read<A>, { readonly _tag: "Hit" }>

/** The right to put what a lookup finds into the store, for as long as nobody changes the key. */
export interface Lease {
  readonly text: string
  /** When the lookup began, by the store's clock. */
  readonly bornAt: number
}

/** Compressing less than this many UTF-16 units saves nothing. */
const compressOverDefault = 2_048

const away: Read<never> = { _tag: "Away" }

const untrackedMillis = Duration.toMillis(untrackedTtl)

const noTags: ReadonlyArray<string> = []

/** Where the values of one cache lie: near in this process, and in the store. It knows nothing of lookups. */
export class Shelf<K, A, I> {
  readonly near: Near<A> | undefined
  /** Where nothing is near. */
  private readonly decoded: Decoded<A> | undefined
  readonly count: Count
  readonly nearHit: () => void
  readonly grace: number
  readonly prefix: string
  /** Whether it is heard what other processes change. */
  following = false
  private readonly options: Options<K, A, I, unknown, unknown>
  private readonly store: typeof Store.Service
  private readonly clock: Clock.Clock
  private readonly ttl: number
  private readonly nearTtl: number
  private readonly negativeTtl: number
  private readonly refreshAfter: number
  private readonly codec: ReturnType<typeof Envelope.codec<A, I>>
  private readonly figures: ReturnType<typeof figures>
  /** Keys that the store may still have an old value of. */
  private readonly owed = new Set<string>()

  constructor(
    options: Options<K, A, I, unknown, unknown>,
    store: typeof Store.Service,
    clock: Clock.Clock,
    stamp: () => string,
    compress: boolean
  ) {
    this.options = options
    this.store = store
    this.clock = clock
    // No prefix may begin as another's, or Redis would follow neither.
    this.prefix = `cache:${encodeURIComponent(options.name)}:`
    const longest = options.tags === undefined ? Number.MAX_SAFE_INTEGER / 4 : Duration.toMillis(tagTtl) / 2
    this.ttl = Math.min(ttlMillis(options.ttl) ?? Infinity, longest)
    this.nearTtl = options.near === undefined ? 0 : (ttlMillis(options.near.ttl) ?? Infinity)
    this.grace = options.grace === undefined ? 0 : Math.min(Duration.toMillis(options.grace), longest)
    this.negativeTtl = options.negativeTtl === undefined ? 0 : Math.min(Duration.toMillis(options.negativeTtl), longest)
    this.refreshAfter = this.ttl * (options.refreshAt ?? Infinity)
    this.codec = Envelope.codec({
      schema: options.schema,
      compressOver: compress ? (options.compressOver ?? compressOverDefault) : Infinity,
      example: options.example,
      stamp
    })
    this.figures = figures(options.name, () => this.near?.size ?? 0)
    this.count = this.figures.count
    this.nearHit = this.figures.nearHit
    const bounds = options.near && { bytesMax: Infinity, ...options.near }
    this.near = bounds && new Near<A>(bounds, () => this.count("evictions"))
    const units = options.near === undefined ? (options.decodedLengthMax ?? decodedLengthMax) : 0
    this.decoded = units > 0 ? new Decoded<A>(units) : undefined
  }

  get isOwing(): boolean {
    return this.owed.size > 0
  }

  get owes(): ReadonlyArray<string> {
    return [...this.owed]
  }

  /** How the store names a key. */
  private readonly nameOf = (key: string): string => this.prefix + WellFormed.encode(key)

  /** The key that the store names so. */
  keyOf(name: string): string {
    return WellFormed.decode(name.slice(this.prefix.length))
  }

  /** Milliseconds of the clock that the values age by. */
  now(): number {
    return this.clock.unsafeCurrentTimeMillis()
  }

  /** Whether such a value is kept at all: absence is not, without `negativeTtl`. */
  keeps(value: Option.Option<A>): boolean {
    return this.lifetime(value)[0] > 0
  }

  /** In this process only. `confirmed`: the store has it too, so that its changes will be heard of. */
  keep(key: string, input: K, value: Option.Option<A>, confirmed: boolean): void {
    const [ttl] = this.lifetime(value)
    const now = this.now()
    if (ttl > 0 && this.near !== undefined) this.put(key, value, now + ttl, this.tagsOf(input, value), now, confirmed)
  }

  /** In this process, what was read from the store. */
  keepRead(key: string, { freshUntil, tags, value }: Hit<A>, now: number): void {
    if (this.near !== undefined) this.put(key, value, freshUntil, tags, now, true)
  }

  /** Serves a stale value for a little while, so that a failing lookup is not asked by everyone. */
  keepStale(key: string, { staleUntil, value }: Stale<A>): void {
    const until = Math.min(this.now() + Duration.toMillis(graceBackoff), staleUntil)
    this.near?.set(key, value, { until, staleUntil, refreshAt: Infinity }, noTags, this.bytesOf(value))
  }

  /** In the order of the keys. */
  read(keys: ReadonlyArray<string>, now: number): Effect.Effect<ReadonlyArray<Read<A>>> {
    return Effect.matchEffect(this.store.getStored(keys.map(this.nameOf)), {
      onFailure: () => {
        this.figures.failed()
        return Effect.succeed(keys.map(() => away))
      },
      onSuccess: (all) => {
        const { tags } = this.options
        if (tags === undefined)
          return Effect.succeed(
            all.map((stored, index) => this.judge(keys[index]!, stored, this.decode(keys[index]!, stored), now))
          )
        const found = all.map((stored, index) => this.decode(keys[index]!, stored))
        const judge = (times?: ReadonlyMap<string, number>) =>
          all.map((stored, index) => this.judge(keys[index]!, stored, found[index], now, times))
        const named = new Set(found.flatMap((envelope) => envelope?.tags ?? noTags))
        return named.size === 0 ? Effect.succeed(judge()) : Effect.map(tags.tags.times([...named]), judge)
      }
    })
  }

  /**
   * For what was read as `seen`: undefined when the key has changed since, "away" when the store is. It may have been given
   * all the same; like one that was not taken back it is owed to the store, or others would wait for it.
   */
  lease(key: string, seen: Stored.Stored): Effect.Effect<Lease | "away" | undefined> {
    const text = this.codec.lease()
    const args = [Envelope.header(seen), text, String(Duration.toMillis(leaseTtl))]
    return Effect.match(this.store.run(Envelope.lease, [this.nameOf(key)], args), {
      onFailure: () => {
        this.oweLease(key)
        return "away" as const
      },
      onSuccess: (bornAt) => (bornAt < 0 ? undefined : { text, bornAt })
    })
  }

  /** Puts what a lookup found into the store, unless the key has changed since the lease. True when it is there. */
  settle(key: string, input: K, lease: Lease, value: Option.Option<A>): Effect.Effect<boolean> {
    const [ttl, grace] = this.lifetime(value)
    const [before, after] = this.codec.encode(value, this.now() + ttl, this.tagsOf(input, value))
    const text = before + Envelope.born(lease.bornAt) + after
    this.figures.size(text.length)
    return this.end(key, [lease.text, text, String(Math.ceil(ttl + grace))])
  }

  /** Gives a lease back, so that others need not wait for it. */
  release(key: string, lease: Lease): Effect.Effect<boolean> {
    return this.end(key, [lease.text, "", "1"])
  }

  /** Into the store, without a lookup. */
  write(entries: ReadonlyArray<readonly [key: string, input: K, value: A]>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const now = this.now()
      const keys = entries.map(([key]) => key)
      const texts = entries.map(([, input, value]) => {
        const some = Option.some(value)
        return this.codec.encode(some, now + this.ttl, this.tagsOf(input, some))
      })
      const ttl = this.ttl + this.grace
      if (this.options.tags === undefined) {
        const plain = texts.map(
          ([before, after], index) => [this.nameOf(keys[index]!), before + Envelope.born(now) + after] as const
        )
        return this.orOwe(keys, this.store.setMany(plain, ttl))
      }
      const puts = texts.map((text, index) =>
        this.store.run(Envelope.put, [this.nameOf(keys[index]!)], [...text, String(Math.ceil(ttl))])
      )
      return this.orOwe(keys, Effect.all(puts, { concurrency: scriptConcurrency }))
    })
  }

  /** Takes them out of the store; a lookup under way cannot put its old value back, since its lease goes too. */
  remove(keys: ReadonlyArray<string>): Effect.Effect<void> {
    return this.orOwe(keys, this.store.remove(...keys.map(this.nameOf)))
  }

  stats(): Stats {
    return this.figures.stats()
  }

  seconds(millis: number): void {
    this.figures.seconds(millis)
  }

  private tagsOf(input: K, value: Option.Option<A>): ReadonlyArray<string> {
    return this.options.tags === undefined || Option.isNone(value) ? noTags : this.options.tags.of(value.value, input)
  }

  private end(key: string, args: ReadonlyArray<string>): Effect.Effect<boolean> {
    return Effect.match(this.store.run(Envelope.settle, [this.nameOf(key)], args), {
      onFailure: () => {
        this.oweLease(key)
        return false
      },
      onSuccess: (settled) => settled === 1
    })
  }

  private put(
    key: string,
    value: Option.Option<A>,
    freshUntil: number,
    tags: ReadonlyArray<string>,
    now: number,
    confirmed: boolean
  ): void {
    const kept = this.following && confirmed ? this.nearTtl : Math.min(this.nearTtl, untrackedMillis)
    const until = Math.min(now + kept, freshUntil)
    const grace = Option.isSome(value) ? this.grace : 0
    const times: Times = { until, staleUntil: freshUntil + grace, refreshAt: this.refreshTime(value, freshUntil) }
    this.near?.set(key, value, times, tags, this.bytesOf(value))
  }

  private bytesOf(value: Option.Option<A>): number {
    return this.options.near?.bytesMax === undefined ? 0 : this.codec.units(value)
  }

  private refreshTime(value: Option.Option<A>, freshUntil: number): number {
    return Option.isSome(value) ? freshUntil - this.ttl + this.refreshAfter : Infinity
  }

  private lifetime(value: Option.Option<A>): readonly [ttl: number, grace: number] {
    return Option.isSome(value) ? [this.ttl, this.grace] : [this.negativeTtl, 0]
  }

  private decode(key: string, stored: Stored.Stored | null): Envelope.Envelope<A> | undefined {
    if (stored === null) return undefined
    const known = this.decoded?.get(key, stored)
    if (known !== undefined) return known
    const envelope = this.codec.decode(Envelope.beneath(Stored.text(stored)))
    if (envelope !== undefined) this.decoded?.set(key, stored, envelope)
    return envelope
  }

  private judge(
    key: string,
    stored: Stored.Stored | null,
    found: Envelope.Envelope<A> | undefined,
    now: number,
    times?: ReadonlyMap<string, number>
  ): Read<A> {
    // Even a look into an empty Set costs the hash of the key.
    if (this.owed.size > 0 && this.owed.has(key)) return away
    if (stored === null) return absent
    const leased = Envelope.isLeased(stored)
    if (found === undefined || (found.tags.length > 0 && outdated(found, times)))
      return { _tag: leased ? "Leased" : "Miss", stored, stale: undefined }
    const { freshUntil, tags, value } = found
    if (freshUntil <= now)
      return { _tag: leased ? "Leased" : "Miss", stored, stale: { value, staleUntil: freshUntil + this.grace } }
    return { _tag: "Hit", value, freshUntil, tags, stored, due: !leased && now >= this.refreshTime(value, freshUntil) }
  }

  /** What the store did not take is owed to it: until it is, reads of those keys go past the store. */
  private orOwe(keys: ReadonlyArray<string>, write: Effect.Effect<unknown, StoreUnavailable>): Effect.Effect<void> {
    return Effect.match(write, {
      onSuccess: () => {
        for (const key of keys) this.owed.delete(key)
      },
      onFailure: () => this.owe(keys)
    })
  }

  /** Without it others wait once, which is not worth the place of an invalidation. */
  private oweLease(key: string): void {
    if (this.owed.size < owedMax) this.owe([key])
    else this.figures.failed()
  }

  private owe(keys: ReadonlyArray<string>): void {
    this.figures.failed()
    for (const key of keys) this.owed.add(key)
    for (const oldest of this.owed) {
      if (this.owed.size <= owedMax) break
      this.owed.delete(oldest)
      this.count("lost")
    }
  }
}

/** Whether a tag was invalidated after the value's lookup began. */
const outdated = ({ bornAt, tags }: Envelope.Envelope<unknown>, times: ReadonlyMap<string, number> | undefined) =>
  tags.some((tag) => (times?.get(tag) ?? Infinity) >= bornAt)

const absent: Read<never> = { _tag: "Miss", stored: "", stale: undefined }
