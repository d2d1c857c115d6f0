import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { Seats } from "../store/Seats.ts"
import { type Flight, type Found, land } from "./Flight.ts"
import {
  flightsMax,
  scriptConcurrency,
  leasePoll,
  leaseWait,
  lookupConcurrency,
  type Options,
  refreshesMax
} from "./Options.ts"
import type { Stale } from "./Near.ts"
import type { Lease, Read, Shelf } from "./Shelf.ts"

/** A key that is to be looked up here. Without a lease what is found is not put into the store. */
interface Task<K, A, E> {
  readonly flight: Flight<K, A, E>
  readonly lease: Lease | undefined
  readonly stale: Stale<A> | undefined
}

type Missed<K, A, E> = readonly [Flight<K, A, E>, Exclude<Read<A>, { _tag: "Hit" }>]

/** Side by side, without fibers where there is one. */
const together = <B>(
  effects: ReadonlyArray<Effect.Effect<B>>,
  concurrency: number | "unbounded" = "unbounded"
): Effect.Effect<ReadonlyArray<B>> =>
  effects.length === 1 ? Effect.map(effects[0]!, (one) => [one]) : Effect.all(effects, { concurrency })

const pollMillis = Duration.toMillis(leasePoll)

/**
 * Reads past the near cache: the store, then the lookup. One for each key at a time, in this process and, by a lease in
 * the store, in all; in fibers of the cache's scope, so that an interrupted caller harms nobody. What is asked for in
 * one turn of the scheduler is read together.
 */
export class Flights<K, A, I, E, R> {
  private readonly options: Options<K, A, I, E, R>
  private readonly shelf: Shelf<K, A, I>
  private readonly scope: Scope.Scope
  private readonly context: Context.Context<R>
  /** Sees to it that the store gets what it is owed. */
  private readonly payBack: Effect.Effect<void>
  private readonly byKey = new Map<string, Flight<K, A, E>>()
  private readonly refreshing = new Map<string, Flight<K, A, E>>()
  /** How often any key was changed, here or elsewhere. */
  private changes = 0
  private gathered: Array<Flight<K, A, E>> = []
  private readonly seats = new Seats<Option.Option<A>, E>()

  constructor(
    options: Options<K, A, I, E, R>,
    shelf: Shelf<K, A, I>,
    scope: Scope.Scope,
    context: Context.Context<R>,
    payBack: Effect.Effect<void>
  ) {
    this.options = options
    this.shelf = shelf
    this.scope = scope
    this.context = context
    this.payBack = payBack
  }

  /** Joins the read of this key, or begins one. */
  readonly get = (key: string, input: K): Effect.Effect<Option.Option<A>, E> => {
    const flying = this.byKey.get(key)
    if (flying !== undefined) return this.landed(flying)
    if (this.gathered.length > 0) return this.landed(this.begin(key, input))
    return Effect.flatMap(this.launch([key], [input]), ([flight]) => this.landed(flight!))
  }

  /**
   * Puts what there is into `found`. What the store has needs nobody to share it with; the rest becomes reads of one key
   * each, which others may join.
   */
  readonly getMany = (
    keys: ReadonlyArray<string>,
    inputs: ReadonlyArray<K>,
    found: Map<string, A>
  ): Effect.Effect<void, E> =>
    Effect.gen(this, function* () {
      const alone = keys.length > 1 && (this.byKey.size === 0 || keys.every((key) => !this.byKey.has(key)))
      const missed = alone ? yield* this.readMany(keys, inputs, found) : [...keys.keys()]
      if (missed.length === 0) return
      const flights = yield* this.launch(
        missed.map((index) => keys[index]!),
        missed.map((index) => inputs[index]!)
      )
      for (const flight of flights) {
        const value = yield* this.landed(flight)
        if (Option.isSome(value)) found.set(flight.key, value.value)
      }
    })

  /** Which of the keys the store did not answer. */
  private readMany(
    keys: ReadonlyArray<string>,
    inputs: ReadonlyArray<K>,
    found: Map<string, A>
  ): Effect.Effect<ReadonlyArray<number>> {
    return Effect.suspend(() => {
      const started = this.shelf.now()
      const before = this.changes
      return Effect.flatMap(this.shelf.read(keys, started), (reads) => {
        const missed: Array<number> = []
        const due: Array<Effect.Effect<void>> = []
        for (let index = 0; index < reads.length; index++) {
          const read = reads[index]!
          const key = keys[index]!
          if (read._tag !== "Hit") missed.push(index)
          else {
            if (Option.isSome(read.value)) found.set(key, read.value.value)
            // Whichever key changed meanwhile: it does not pay to remember which.
            if (before === this.changes) this.shelf.keepRead(key, read, started)
            if (read.due) due.push(this.refresh(key, inputs[index]!))
          }
        }
        if (missed.length < keys.length) {
          this.shelf.count("storeHits", keys.length - missed.length)
          this.shelf.seconds(this.shelf.now() - started)
        }
        return due.length === 0 ? Effect.succeed(missed) : Effect.as(Effect.all(due, { discard: true }), missed)
      })
    })
  }

  private landed(flight: Flight<K, A, E>): Effect.Effect<Option.Option<A>, E> {
    if (flight.result !== undefined) return flight.result
    const seat = this.seats.take()
    flight.waiting.push(seat)
    return seat.wait
  }

  /** The key was changed in this process: later callers start a read of their own. */
  forget(key: string): void {
    this.changes++
    this.leave(this.byKey.get(key))
    const refresh = this.refreshing.get(key)
    if (refresh !== undefined) refresh.obsolete = true
  }

  /** The key was changed by someone else, or perhaps by our own script: the store knows. */
  heard(key: string): void {
    this.changes++
    this.hear(this.byKey.get(key))
    this.hear(this.refreshing.get(key))
  }

  heardAll(): void {
    this.changes++
    for (const flight of this.byKey.values()) this.hear(flight)
    for (const flight of this.refreshing.values()) this.hear(flight)
  }

  forgetAll(): void {
    this.changes++
    for (const key of this.byKey.keys()) this.forget(key)
    for (const flight of this.refreshing.values()) flight.obsolete = true
  }

  /** Looks the key up again while its old value is served. Does nothing when that is being done or not needed. */
  refresh(key: string, input: K): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.refreshing.has(key) || this.refreshing.size >= refreshesMax) return Effect.void
      const flight = this.make(key, input)
      this.refreshing.set(key, flight)
      const renew = Effect.gen(this, function* () {
        const [read] = yield* this.shelf.read([key], this.shelf.now())
        if (read?._tag !== "Hit" || !read.due) return
        const lease = yield* this.shelf.lease(key, read.stored)
        if (typeof lease === "object") yield* this.find([{ flight, lease, stale: undefined }])
      })
      return this.fork(
        Effect.ensuring(
          renew,
          Effect.sync(() => this.refreshing.delete(key))
        )
      )
    })
  }

  private make(key: string, input: K): Flight<K, A, E> {
    return {
      key,
      input,
      result: undefined,
      waiting: [],
      obsolete: false,
      left: false,
      news: 0,
      wake: undefined,
      patientUntil: undefined
    }
  }

  private begin(key: string, input: K): Flight<K, A, E> {
    const flight = this.make(key, input)
    if (this.byKey.size < flightsMax) this.byKey.set(key, flight)
    // Nobody will tell it of changes, so it keeps nothing.
    else flight.left = flight.obsolete = true
    this.gathered.push(flight)
    return flight
  }

  private hear(flight: Flight<K, A, E> | undefined): void {
    if (flight === undefined) return
    flight.news++
    flight.wake?.()
  }

  private leave(flight: Flight<K, A, E> | undefined): void {
    if (flight === undefined || flight.left) return
    flight.left = true
    flight.obsolete = true
    this.byKey.delete(flight.key)
  }

  private launch(keys: ReadonlyArray<string>, inputs: ReadonlyArray<K>): Effect.Effect<ReadonlyArray<Flight<K, A, E>>> {
    // Uninterruptible, so that nobody waits for a read that was never begun.
    return Effect.uninterruptible(
      Effect.suspend(() => {
        const alone = this.gathered.length === 0
        const flights = keys.map((key, index) => this.byKey.get(key) ?? this.begin(key, inputs[index]!))
        if (!alone || this.gathered.length === 0) return Effect.succeed(flights)
        return Effect.as(this.fork(Effect.suspend(() => this.fly(this.gathered.splice(0), true))), flights)
      })
    )
  }

  private fork(effect: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.map(Effect.forkIn(Effect.interruptible(effect), this.scope), (fiber) => {
      // A scope that closes meanwhile ends the fiber before its first step: nobody must wait for that.
      fiber.addObserver((exit) => {
        if (Exit.isFailure(exit)) this.end(this.gathered.splice(0), exit.cause)
      })
    })
  }

  private end(flights: ReadonlyArray<Flight<K, A, E>>, cause: Cause.Cause<never>): void {
    for (const flight of flights) {
      this.leave(flight)
      if (flight.result === undefined) land(flight, Exit.failCause(cause))
    }
  }

  private fly(flights: ReadonlyArray<Flight<K, A, E>>, last: boolean): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      const started = this.shelf.now()
      for (const flight of flights) flight.news = 0
      const next: Array<Effect.Effect<void>> = []
      const missed: Array<Missed<K, A, E>> = []
      const reads = yield* this.shelf.read(
        flights.map(({ key }) => key),
        started
      )
      let hits = 0
      for (const [index, flight] of flights.entries()) {
        const read = reads[index]!
        if (read._tag === "Hit") {
          hits++
          if (!flight.obsolete && flight.news === 0) this.shelf.keepRead(flight.key, read, started)
          // Later callers read again: the key may change while the rest of this read goes on.
          this.leave(flight)
          land(flight, Exit.succeed(read.value))
          if (read.due) next.push(this.refresh(flight.key, flight.input))
        } else if (read._tag === "Leased" && started < (flight.patientUntil ??= started + Duration.toMillis(leaseWait)))
          next.push(Effect.zipRight(this.news(flight), this.fly([flight], false)))
        else missed.push([flight, read])
      }
      if (hits > 0) this.shelf.count("storeHits", hits)
      if (missed.length > 0) next.push(this.claim(missed))
      if (next.length > 0) yield* together(next)
      if (last) this.shelf.seconds(this.shelf.now() - started)
    }).pipe(
      Effect.onExit((exit) =>
        last ? Effect.sync(() => this.end(flights, Exit.isFailure(exit) ? exit.cause : Cause.empty)) : Effect.void
      )
    )
  }

  /** Until the key changes, but not long: the news may be lost, and so may whoever looks it up. */
  private news(flight: Flight<K, A, E>): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      if (flight.news > 0) return resume(Effect.void)
      flight.wake = () => {
        flight.wake = undefined
        resume(Effect.void)
      }
    }).pipe(Effect.timeoutTo({ duration: pollMillis, onSuccess: () => undefined, onTimeout: () => undefined }))
  }

  /** Looks up what nobody else does; whoever was too late for the lease reads again. */
  private claim(missed: ReadonlyArray<Missed<K, A, E>>): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      const { lookup, lookupMany } = this.options
      if (lookup === undefined && lookupMany === undefined) {
        this.shelf.count("misses", missed.length)
        for (const [flight] of missed) land(flight, Exit.succeed(Option.none()))
        return
      }
      const leases = yield* together(
        missed.map(([flight, read]) =>
          read._tag === "Away" ? Effect.succeed("away" as const) : this.shelf.lease(flight.key, read.stored)
        ),
        scriptConcurrency
      )
      const tasks: Array<Task<K, A, E>> = []
      const late: Array<Flight<K, A, E>> = []
      const now = this.shelf.now()
      for (const [index, [flight, read]] of missed.entries()) {
        const lease = leases[index]
        const stale = read._tag === "Away" ? undefined : read.stale
        if (lease === undefined && now < (flight.patientUntil ??= now + Duration.toMillis(leaseWait))) late.push(flight)
        else tasks.push({ flight, stale, lease: typeof lease === "object" ? lease : undefined })
      }
      const next: Array<Effect.Effect<void>> = []
      this.shelf.count("misses", tasks.length)
      if (tasks.length > 0) next.push(this.find(tasks))
      if (late.length > 0) next.push(this.fly(late, false))
      yield* together(next)
    })
  }

  private find(tasks: ReadonlyArray<Task<K, A, E>>): Effect.Effect<void> {
    const release = Effect.suspend(() =>
      together(
        tasks.flatMap(({ flight, lease }) => (lease === undefined ? [] : [this.shelf.release(flight.key, lease)])),
        scriptConcurrency
      )
    )
    return this.lookUp(tasks.map(({ flight }) => flight.input)).pipe(
      Effect.onInterrupt(() => release),
      Effect.flatMap((found) => this.settle(tasks, found)),
      Effect.zipRight(this.payBack)
    )
  }

  private lookUp(inputs: ReadonlyArray<K>): Effect.Effect<ReadonlyArray<Found<A, E>>> {
    const { key, lookup, lookupMany } = this.options
    if (lookupMany !== undefined)
      return Effect.map(Effect.exit(this.provided(() => lookupMany(inputs))), (exit) =>
        inputs.map((input) => Exit.map(exit, (found) => Option.fromNullable(found.get(key(input)))))
      )
    return Effect.forEach(inputs, (input) => Effect.exit(this.provided(() => lookup!(input))), {
      concurrency: inputs.length === 1 ? 1 : lookupConcurrency
    })
  }

  /**
   * The lookup's own services, not those of the caller whose fiber began it: its transaction may be over before the
   * lookup is. The caller's span stays the parent.
   */
  private provided<B>(effect: () => Effect.Effect<B, E, R>): Effect.Effect<B, E> {
    return Effect.mapInputContext(Effect.suspend(effect), (caller: Context.Context<never>) => {
      const span = Context.getOption(caller, Tracer.ParentSpan)
      return Option.isSome(span) ? Context.add(this.context, Tracer.ParentSpan, span.value) : this.context
    })
  }

  /** Answers the callers first; the store is filled after that, while later callers still find this read. */
  private settle(tasks: ReadonlyArray<Task<K, A, E>>, found: ReadonlyArray<Found<A, E>>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const ends: Array<Effect.Effect<unknown>> = []
      for (const [index, task] of tasks.entries()) {
        const exit = found[index]!
        const { flight, lease } = task
        const answer = Exit.isSuccess(exit) ? exit : this.staleOr(exit, task)
        // Nothing keeps a failure or an unkept absence: whoever comes after this moment looks up again.
        if (Exit.isFailure(answer) || !this.shelf.keeps(answer.value)) this.leave(flight)
        land(flight, answer)
        if (Exit.isSuccess(exit) && !flight.obsolete) ends.push(this.keep(flight, lease, exit.value))
        else if (lease !== undefined) ends.push(this.release(flight, lease))
      }
      return ends.length === 0 ? Effect.void : Effect.asVoid(together(ends, scriptConcurrency))
    })
  }

  /** A value that does not fit its schema is a mistake of the program; nobody is to wait for its lease all the same. */
  private keep(flight: Flight<K, A, E>, lease: Lease | undefined, value: Option.Option<A>): Effect.Effect<void> {
    const { name } = this.options
    return Effect.catchAllCause(
      Effect.suspend(() => {
        if (lease !== undefined) return this.fill(flight, lease, value)
        return Effect.sync(() => this.shelf.keep(flight.key, flight.input, value, false))
      }),
      (cause) =>
        Effect.zipRight(
          Effect.logError(`Cache ${name}: a value that was looked up could not be kept`, cause),
          lease === undefined ? Effect.void : this.release(flight, lease)
        )
    )
  }

  /** Near too, unless something was heard of the key meanwhile: it may have been changed again. */
  private fill(flight: Flight<K, A, E>, lease: Lease, value: Option.Option<A>): Effect.Effect<void> {
    flight.news = 0
    return Effect.map(this.shelf.settle(flight.key, flight.input, lease, value), (filled) => {
      if (filled && !flight.obsolete && flight.news === 0) this.shelf.keep(flight.key, flight.input, value, true)
      this.heard(flight.key)
    })
  }

  private release(flight: Flight<K, A, E>, lease: Lease): Effect.Effect<void> {
    return Effect.map(this.shelf.release(flight.key, lease), () => this.heard(flight.key))
  }

  private staleOr(failure: Found<A, E>, { flight, stale }: Task<K, A, E>): Found<A, E> {
    const now = this.shelf.now()
    const old = stale ?? this.shelf.near?.stale(flight.key, now)
    if (old === undefined || old.staleUntil <= now || this.shelf.grace === 0 || flight.obsolete) return failure
    this.shelf.count("stale")
    this.shelf.keepStale(flight.key, old)
    return Exit.succeed(old.value)
  }
}
