import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { Broadcast } from "../broadcast/Broadcast.ts"
import type { StoreUnavailable } from "../errors.ts"
import { type Store, ttlMillis } from "../store/Store.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Envelope from "./Envelope.ts"
import { Near } from "./Near.ts"
import { flightsMax, graceBackoff, lookupConcurrency, markTtl, owedMax, type Options, type Stats } from "./Options.ts"

/** What processes tell each other on `cache:<name>`. */
export interface Changed {
  readonly from: string
  readonly keys: ReadonlyArray<string>
}

interface Flight<K, A, E> {
  readonly input: K
  readonly key: string
  readonly result: Deferred.Deferred<Option.Option<A>, E>
  /** The value was changed while this lookup ran: its callers may have the result, but nobody after them. */
  obsolete: boolean
}

/** A value past its time. */
interface Stale<A> {
  readonly value: Option.Option<A>
  readonly staleUntil: number
}

/** What the store had for a key before a lookup: the header to compare with, and a value past its time. */
interface Seen<A> {
  readonly header: string
  readonly stale: Stale<A> | undefined
}

type Found<A, E> = Exit.Exit<Option.Option<A>, E>

/** What one cache is made of; `Cache.make` builds it and shows the part that callers use. */
export interface Parts {
  readonly store: typeof Store.Service
  readonly broadcast: typeof Broadcast.Service
  readonly scope: Scope.Scope
  /** No other cache, in any process, has the same. */
  readonly instance: string
  readonly compress: boolean
  /** Makes the next batch be written. */
  readonly kick: Effect.Effect<void>
}

/** Compressing less than this saves nothing. */
const compressOverDefault = 2_048

const noLabels: ReadonlyArray<never> = []

export class Engine<K, A, I, E, R> {
  readonly options: Options<K, A, I, E, R>
  readonly topic: string
  readonly near: Near<A> | undefined
  /** Values of `setBehind` that the next batch will write; read before the store. */
  readonly behind = new Map<string, readonly [key: K, value: A]>()
  /** Keys that the store may still have an old value of. */
  readonly owed = new Set<string>()
  private readonly parts: Parts
  private readonly context: Context.Context<R>
  private readonly flights = new Map<string, Flight<K, A, E>>()
  private readonly codec: ReturnType<typeof Envelope.codec<A, I>>
  private readonly ttl: number
  private readonly nearTtl: number
  private readonly grace: number
  private readonly negativeTtl: number
  private stamps = 0
  private counts = { nearHits: 0, storeHits: 0, misses: 0, stale: 0, evictions: 0, lost: 0 }
  private readonly nearHit
  private readonly storeHit
  private readonly miss
  private readonly failure
  private readonly seconds
  private readonly lostCount

  constructor(options: Options<K, A, I, E, R>, parts: Parts, context: Context.Context<R>) {
    const { name } = options
    this.options = options
    this.parts = parts
    this.context = context
    this.topic = `cache:${name}`
    this.ttl = ttlMillis(options.ttl) ?? Number.MAX_SAFE_INTEGER / 2
    this.nearTtl = options.near === undefined ? 0 : (ttlMillis(options.near.ttl) ?? Infinity)
    this.grace = options.grace === undefined ? 0 : Duration.toMillis(options.grace)
    this.negativeTtl = options.negativeTtl === undefined ? 0 : Duration.toMillis(options.negativeTtl)
    const over = parts.compress ? (options.compressOver ?? compressOverDefault) : Infinity
    this.codec = Envelope.codec(options.schema, over, () => `${parts.instance}-${this.stamps++}`)
    const evicted = Metrics.series(Metrics.cacheEvictions, name)
    this.near =
      options.near &&
      new Near<A>(options.near.entriesMax, () => {
        this.counts.evictions++
        evicted.unsafeUpdate(1, noLabels)
      })
    this.nearHit = Metrics.series(Metrics.cacheHits, name, "near")
    this.storeHit = Metrics.series(Metrics.cacheHits, name, "store")
    this.miss = Metrics.series(Metrics.cacheMisses, name)
    this.failure = Metrics.series(Metrics.cacheFailures, name)
    this.seconds = Metrics.series(Metrics.cacheSeconds, name)
    this.lostCount = Metrics.series(Metrics.cacheLost, name)
  }

  get(input: K): Effect.Effect<Option.Option<A>, E> {
    return Effect.clockWith((clock) => {
      const key = this.options.key(input)
      const hit = this.near?.fresh(key, clock.unsafeCurrentTimeMillis())
      if (hit === undefined) return this.wait(key, input)
      this.countNearHit()
      return hit.effect
    })
  }

  getMany(inputs: ReadonlyArray<K>): Effect.Effect<ReadonlyMap<string, A>, E> {
    return Effect.clockWith((clock) => {
      const now = clock.unsafeCurrentTimeMillis()
      const found = new Map<string, A>()
      const away = new Map<string, K>()
      for (const input of inputs) {
        const key = this.options.key(input)
        const hit = this.near?.fresh(key, now)
        if (hit === undefined) away.set(key, input)
        else {
          this.countNearHit()
          if (Option.isSome(hit.value)) found.set(key, hit.value.value)
        }
      }
      return away.size === 0 ? Effect.succeed(found) : this.waitMany(away, found)
    })
  }

  set(input: K, value: A): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const key = this.options.key(input)
      const text = this.codec.encode(Option.some(value), now + this.ttl)
      this.behind.delete(key)
      this.forget(key)
      return this.orOwe([key], this.parts.store.set(this.storeKey(key), text, { ttl: this.ttl + this.grace })).pipe(
        Effect.zipRight(Effect.sync(() => this.keep(key, value, now))),
        Effect.zipRight(this.tell([key]))
      )
    })
  }

  /** In this process at once; false when there is no room for it in the next batch. */
  setSoon(input: K, value: A, room: number): Effect.Effect<boolean> {
    return Effect.map(Clock.currentTimeMillis, (now) => {
      const key = this.options.key(input)
      this.keep(key, value, now)
      if (this.behind.size >= room && !this.behind.has(key)) return false
      this.behind.set(key, [input, value])
      return true
    })
  }

  /** Writes values that `writeMany` has taken, and tells other processes. */
  setMany(entries: ReadonlyArray<readonly [key: string, value: A]>): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const keys = entries.map(([key]) => key)
      const texts = entries.map(
        ([key, value]) => [this.storeKey(key), this.codec.encode(Option.some(value), now + this.ttl)] as const
      )
      return Effect.zipRight(this.orOwe(keys, this.parts.store.setMany(texts, this.ttl + this.grace)), this.tell(keys))
    })
  }

  /** The store gets a mark instead of nothing, so that a lookup begun before cannot put its value back. */
  invalidate(keys: ReadonlyArray<string>): Effect.Effect<void> {
    if (keys.length === 0) return Effect.void
    const forget = Effect.sync(() => {
      for (const key of keys) this.forget(key)
    })
    const marks = keys.map((key) => [this.storeKey(key), this.codec.mark()] as const)
    // Twice: a read between the first time and the mark may have taken the old value from the store.
    return forget.pipe(
      Effect.zipRight(this.orOwe(keys, this.parts.store.setMany(marks, markTtl))),
      Effect.zipRight(forget),
      Effect.zipRight(this.tell(keys))
    )
  }

  /** Another process changed these. */
  changed(message: Changed): void {
    if (message.from !== this.parts.instance) for (const key of message.keys) this.forget(key)
  }

  /** Word from other processes may have been lost. */
  forgetAll(): void {
    this.near?.clear()
    for (const flight of this.flights.values()) flight.obsolete = true
    this.flights.clear()
  }

  lose(count: number): void {
    this.counts.lost += count
    this.lostCount.unsafeUpdate(count, noLabels)
  }

  stats(): Stats {
    return { ...this.counts, nearEntries: this.near?.size ?? 0 }
  }

  hitRate(): number {
    const { misses, nearHits, storeHits } = this.counts
    return (nearHits + storeHits) / (nearHits + storeHits + misses)
  }

  private countNearHit(): void {
    this.counts.nearHits++
    this.nearHit.unsafeUpdate(1, noLabels)
  }

  private storeKey(key: string): string {
    return `${this.topic}:${key}`
  }

  private forget(key: string): void {
    this.near?.delete(key)
    const flight = this.flights.get(key)
    if (flight === undefined) return
    flight.obsolete = true
    this.flights.delete(key)
  }

  private keep(key: string, value: A, now: number): void {
    this.forget(key)
    this.near?.set(key, Option.some(value), now + Math.min(this.nearTtl, this.ttl), now + this.ttl + this.grace)
  }

  private tell(keys: ReadonlyArray<string>): Effect.Effect<void> {
    return this.parts.broadcast.publish(this.topic, { from: this.parts.instance, keys } satisfies Changed)
  }

  /** What the store did not take is owed to it: until it is, reads of those keys go past the store. */
  private orOwe(keys: ReadonlyArray<string>, write: Effect.Effect<unknown, StoreUnavailable>): Effect.Effect<void> {
    return Effect.matchEffect(write, {
      onSuccess: () =>
        Effect.sync(() => {
          for (const key of keys) this.owed.delete(key)
        }),
      onFailure: () =>
        Effect.suspend(() => {
          this.failure.unsafeUpdate(1, noLabels)
          for (const key of keys) this.owed.add(key)
          for (const key of this.owed) {
            if (this.owed.size <= owedMax) break
            this.owed.delete(key)
            this.lose(1)
          }
          return this.parts.kick
        })
    })
  }

  private wait(key: string, input: K): Effect.Effect<Option.Option<A>, E> {
    const waiting = this.behind.get(key)
    if (waiting !== undefined) {
      this.countNearHit()
      return Effect.succeed(Option.some(waiting[1]))
    }
    const flying = this.flights.get(key)
    if (flying !== undefined) return Deferred.await(flying.result)
    return Effect.flatMap(this.launch([[key, input]]), ([flight]) => Deferred.await(flight!.result))
  }

  private waitMany(away: Map<string, K>, found: Map<string, A>): Effect.Effect<ReadonlyMap<string, A>, E> {
    const flights: Array<Flight<K, A, E>> = []
    for (const key of away.keys()) {
      const waiting = this.behind.get(key)
      const flying = this.flights.get(key)
      if (waiting !== undefined) found.set(key, waiting[1])
      else if (flying !== undefined) flights.push(flying)
      else continue
      away.delete(key)
    }
    return Effect.gen(this, function* () {
      if (away.size > 0) flights.push(...(yield* this.launch([...away])))
      for (const { key, result } of flights) {
        const value = yield* Deferred.await(result)
        if (Option.isSome(value)) found.set(key, value.value)
      }
      return found
    })
  }

  /** Starts one lookup for these keys in the cache's scope. Uninterruptible, so that nobody waits for one never begun. */
  private launch(keys: ReadonlyArray<readonly [string, K]>): Effect.Effect<ReadonlyArray<Flight<K, A, E>>> {
    return Effect.uninterruptible(
      Effect.suspend(() => {
        const flights = keys.map(([key, input]): Flight<K, A, E> => {
          const flight = { key, input, result: Deferred.unsafeMake<Option.Option<A>, E>(FiberId.none), obsolete: false }
          if (this.flights.size < flightsMax) this.flights.set(key, flight)
          return flight
        })
        return Effect.as(Effect.forkIn(Effect.interruptible(this.fly(flights)), this.parts.scope), flights)
      })
    )
  }

  private fly(flights: ReadonlyArray<Flight<K, A, E>>): Effect.Effect<void> {
    const left = new Set(flights)
    const land = (flight: Flight<K, A, E>, found: Found<A, E>): void => {
      left.delete(flight)
      Deferred.unsafeDone(flight.result, found)
    }
    return Effect.gen(this, function* () {
      const started = yield* Clock.currentTimeMillis
      const seen = yield* this.readStore(flights, started, land)
      if (left.size > 0) {
        const missing = [...left]
        const found = yield* this.lookUp(missing)
        yield* this.settle(missing, found, seen, land)
      }
      this.seconds.unsafeUpdate(((yield* Clock.currentTimeMillis) - started) / 1_000, noLabels)
    }).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          for (const flight of flights) if (this.flights.get(flight.key) === flight) this.flights.delete(flight.key)
          const cause = Exit.isFailure(exit) ? exit.cause : Cause.empty
          for (const flight of left) land(flight, Exit.failCause(cause))
        })
      )
    )
  }

  private readStore(
    flights: ReadonlyArray<Flight<K, A, E>>,
    now: number,
    land: (flight: Flight<K, A, E>, found: Found<A, E>) => void
  ): Effect.Effect<ReadonlyMap<string, Seen<A>>> {
    const asked = flights.filter((flight) => !this.owed.has(flight.key))
    return Effect.match(this.parts.store.getMany(asked.map((flight) => this.storeKey(flight.key))), {
      onFailure: () => {
        this.failure.unsafeUpdate(1, noLabels)
        return new Map<string, Seen<A>>()
      },
      onSuccess: (texts) => {
        const seen = new Map<string, Seen<A>>()
        for (const [index, flight] of asked.entries()) {
          const text = Option.getOrElse(texts[index]!, () => "")
          const read = text === "" ? undefined : this.codec.decode(text)
          if (read === undefined || read.freshUntil <= now) {
            seen.set(flight.key, { header: Envelope.header(text), stale: this.graceOf(read) })
            continue
          }
          this.counts.storeHits++
          this.storeHit.unsafeUpdate(1, noLabels)
          if (!flight.obsolete) {
            const until = Math.min(now + this.nearTtl, read.freshUntil)
            this.near?.set(flight.key, read.value, until, read.freshUntil + this.grace)
          }
          land(flight, Exit.succeed(read.value))
        }
        return seen
      }
    })
  }

  private graceOf(read: Envelope.Envelope<A> | undefined): Stale<A> | undefined {
    return read && { value: read.value, staleUntil: read.freshUntil + this.grace }
  }

  private lookUp(flights: ReadonlyArray<Flight<K, A, E>>): Effect.Effect<ReadonlyArray<Found<A, E>>> {
    const { lookup, lookupMany } = this.options
    this.counts.misses += flights.length
    this.miss.unsafeUpdate(flights.length, noLabels)
    if (lookupMany !== undefined)
      return Effect.map(Effect.exit(this.run(lookupMany(flights.map((flight) => flight.input)))), (exit) =>
        flights.map(({ key }) => Exit.map(exit, (found) => Option.fromNullable(found.get(key))))
      )
    if (lookup === undefined) return Effect.succeed(flights.map(() => Exit.succeed(Option.none())))
    return Effect.forEach(flights, (flight) => Effect.exit(this.run(lookup(flight.input))), {
      concurrency: lookupConcurrency
    })
  }

  /**
   * The lookup's own services, not those of the caller whose fiber began it: its transaction may be over before the
   * lookup is. The caller's span stays the parent.
   */
  private run<B>(effect: Effect.Effect<B, E, R>): Effect.Effect<B, E> {
    return Effect.mapInputContext(effect, (caller: Context.Context<never>) => {
      const span = Context.getOption(caller, Tracer.ParentSpan)
      return Option.isSome(span) ? Context.add(this.context, Tracer.ParentSpan, span.value) : this.context
    })
  }

  private settle(
    flights: ReadonlyArray<Flight<K, A, E>>,
    found: ReadonlyArray<Found<A, E>>,
    seen: ReadonlyMap<string, Seen<A>>,
    land: (flight: Flight<K, A, E>, found: Found<A, E>) => void
  ): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const fills: Array<Effect.Effect<void>> = []
      for (const [index, flight] of flights.entries()) {
        const exit = found[index]!
        if (Exit.isFailure(exit)) {
          land(flight, this.staleOr(exit, flight, seen.get(flight.key)?.stale, now))
          continue
        }
        const { value } = exit
        const [ttl, grace] = Option.isSome(value) ? [this.ttl, this.grace] : [this.negativeTtl, 0]
        const before = seen.get(flight.key)
        if (ttl > 0 && !flight.obsolete) {
          this.near?.set(flight.key, value, now + Math.min(this.nearTtl, ttl), now + ttl + grace)
          if (before !== undefined) {
            const text = this.codec.encode(value, now + ttl)
            fills.push(this.fill(flight.key, before.header, text, ttl + grace))
          }
        }
        land(flight, exit)
      }
      return Effect.all(fills, { concurrency: "unbounded", discard: true })
    })
  }

  private fill(key: string, header: string, text: string, ttl: number): Effect.Effect<void> {
    return this.parts.store.run(Envelope.fill, [this.storeKey(key)], [header, text, String(Math.ceil(ttl))]).pipe(
      Effect.catchAll(() => Effect.sync(() => this.failure.unsafeUpdate(1, noLabels))),
      Effect.asVoid
    )
  }

  private staleOr(
    failure: Found<A, E>,
    flight: Flight<K, A, E>,
    fromStore: Stale<A> | undefined,
    now: number
  ): Found<A, E> {
    const stale = fromStore ?? this.near?.stale(flight.key, now)
    if (stale === undefined || this.grace === 0 || flight.obsolete) return failure
    this.counts.stale++
    const until = Math.min(now + Duration.toMillis(graceBackoff), stale.staleUntil)
    this.near?.set(flight.key, stale.value, until, stale.staleUntil)
    return Exit.succeed(stale.value)
  }
}
