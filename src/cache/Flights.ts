import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as Metrics from "../telemetry/Metrics.ts"
import { flightsMax, lookupConcurrency, type Options } from "./Options.ts"
import type { Read, Shelf } from "./Shelf.ts"

/** A read of one key that is under way, and all who wait for it. */
export interface Flight<K, A, E> {
  readonly input: K
  readonly key: string
  readonly result: Deferred.Deferred<Option.Option<A>, E>
  /** The value was changed while this read ran: its callers may have the result, but nobody after them. */
  obsolete: boolean
}

type Found<A, E> = Exit.Exit<Option.Option<A>, E>

/**
 * Reads past the near cache: the store, then the lookup. One for each key at a time, in fibers of the cache's scope, so
 * that an interrupted caller harms nobody.
 */
export class Flights<K, A, I, E, R> {
  private readonly options: Options<K, A, I, E, R>
  private readonly shelf: Shelf<A, I>
  private readonly scope: Scope.Scope
  private readonly context: Context.Context<R>
  private readonly byKey = new Map<string, Flight<K, A, E>>()
  private readonly seconds

  constructor(options: Options<K, A, I, E, R>, shelf: Shelf<A, I>, scope: Scope.Scope, context: Context.Context<R>) {
    this.options = options
    this.shelf = shelf
    this.scope = scope
    this.context = context
    this.seconds = Metrics.series(Metrics.cacheSeconds, options.name)
  }

  /** The read of this key that is under way. */
  of(key: string): Flight<K, A, E> | undefined {
    return this.byKey.get(key)
  }

  /** Later callers start a read of their own. */
  forget(key: string): void {
    const flight = this.byKey.get(key)
    if (flight === undefined) return
    flight.obsolete = true
    this.byKey.delete(key)
  }

  forgetAll(): void {
    for (const flight of this.byKey.values()) flight.obsolete = true
    this.byKey.clear()
  }

  /** Starts one read for these keys. Uninterruptible, so that nobody waits for a read that was never begun. */
  launch(keys: ReadonlyArray<readonly [key: string, input: K]>): Effect.Effect<ReadonlyArray<Flight<K, A, E>>> {
    return Effect.uninterruptible(
      Effect.suspend(() => {
        const flights = keys.map(([key, input]): Flight<K, A, E> => {
          const flight = { key, input, result: Deferred.unsafeMake<Option.Option<A>, E>(FiberId.none), obsolete: false }
          if (this.byKey.size < flightsMax) this.byKey.set(key, flight)
          return flight
        })
        return Effect.as(Effect.forkIn(Effect.interruptible(this.fly(flights)), this.scope), flights)
      })
    )
  }

  private fly(flights: ReadonlyArray<Flight<K, A, E>>): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      const started = yield* Clock.currentTimeMillis
      const reads = yield* this.shelf.read(
        flights.map(({ key }) => key),
        started
      )
      const missed = flights.flatMap((flight, index) => {
        const read = reads[index]!
        if (read._tag !== "Hit") return [[flight, read] as const]
        this.shelf.count("storeHits")
        if (!flight.obsolete) this.shelf.keepRead(flight.key, read, started)
        Deferred.unsafeDone(flight.result, Exit.succeed(read.value))
        return []
      })
      if (missed.length > 0) {
        const found = yield* this.lookUp(missed.map(([flight]) => flight.input))
        yield* this.settle(missed, found)
      }
      this.seconds.unsafeUpdate(((yield* Clock.currentTimeMillis) - started) / 1_000, [])
    }).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          // What has its result already is not changed by this; the rest must not wait for ever.
          const over = Exit.failCause(Exit.isFailure(exit) ? exit.cause : Cause.empty)
          for (const flight of flights) {
            if (this.byKey.get(flight.key) === flight) this.byKey.delete(flight.key)
            Deferred.unsafeDone(flight.result, over)
          }
        })
      )
    )
  }

  private lookUp(inputs: ReadonlyArray<K>): Effect.Effect<ReadonlyArray<Found<A, E>>> {
    const { key, lookup, lookupMany } = this.options
    this.shelf.count("misses", inputs.length)
    if (lookupMany !== undefined)
      return Effect.map(Effect.exit(this.provided(lookupMany(inputs))), (exit) =>
        inputs.map((input) => Exit.map(exit, (found) => Option.fromNullable(found.get(key(input)))))
      )
    if (lookup === undefined) return Effect.succeed(inputs.map(() => Exit.succeed(Option.none())))
    return Effect.forEach(inputs, (input) => Effect.exit(this.provided(lookup(input))), {
      concurrency: lookupConcurrency
    })
  }

  /**
   * The lookup's own services, not those of the caller whose fiber began it: its transaction may be over before the
   * lookup is. The caller's span stays the parent.
   */
  private provided<B>(effect: Effect.Effect<B, E, R>): Effect.Effect<B, E> {
    return Effect.mapInputContext(effect, (caller: Context.Context<never>) => {
      const span = Context.getOption(caller, Tracer.ParentSpan)
      return Option.isSome(span) ? Context.add(this.context, Tracer.ParentSpan, span.value) : this.context
    })
  }

  /** Answers the callers first; the store is filled after that, while later callers already have the near value. */
  private settle(
    missed: ReadonlyArray<readonly [flight: Flight<K, A, E>, read: Exclude<Read<A>, { _tag: "Hit" }>]>,
    found: ReadonlyArray<Found<A, E>>
  ): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const fills: Array<Effect.Effect<void>> = []
      for (const [index, [flight, read]] of missed.entries()) {
        const exit = found[index]!
        if (Exit.isSuccess(exit) && !flight.obsolete) {
          this.shelf.keep(flight.key, exit.value, now)
          if (read._tag === "Miss") fills.push(this.shelf.fill(flight.key, read.header, exit.value, now))
        }
        const answer = Exit.isSuccess(exit) ? exit : this.staleOr(exit, flight, read, now)
        // Nothing keeps a failure or an unkept absence: whoever comes after this moment looks up again.
        if (Exit.isFailure(answer) || !this.shelf.keeps(answer.value)) this.forget(flight.key)
        Deferred.unsafeDone(flight.result, answer)
      }
      return Effect.all(fills, { concurrency: "unbounded", discard: true })
    })
  }

  private staleOr(failure: Found<A, E>, flight: Flight<K, A, E>, read: Read<A>, now: number): Found<A, E> {
    const stale = (read._tag === "Miss" ? read.stale : undefined) ?? this.shelf.near?.stale(flight.key, now)
    if (stale === undefined || this.shelf.grace === 0 || flight.obsolete) return failure
    this.shelf.count("stale")
    this.shelf.keepStale(flight.key, stale, now)
    return Exit.succeed(stale.value)
  }
}
