import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Settings } from "../config/Settings.ts"
import type { Store } from "../store/Store.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Arguments from "./Arguments.ts"
import * as Cache from "./Cache.ts"
import { Caches, type Definition, nearMax } from "./Caches.ts"
import { Near } from "./Near.ts"
import type { Tagging } from "./Tags.ts"

/** A function whose results are cached by its arguments, with the way to forget one. */
export interface Cached<Args extends ReadonlyArray<unknown>, A, E> {
  (...args: Args): Effect.Effect<A, E>
  readonly invalidate: (...args: Args) => Effect.Effect<void>
  readonly hitRate: Effect.Effect<number>
}

interface MethodOptions<Args extends ReadonlyArray<unknown>, A, I> {
  readonly name: string
  readonly schema: Schema.Schema<A, I>
  readonly ttl: Duration.DurationInput
  readonly near?: { readonly entriesMax: number; readonly ttl: Duration.DurationInput }
  readonly grace?: Duration.DurationInput
  readonly refreshAt?: number
  readonly tags?: Tagging<Args, A>
  /** Without it `Arguments.key`. Arguments of the same key must have the same result. */
  readonly key?: (...args: Args) => string
}

/**
 * Caches an Effect-returning function near, in the Store and across processes, for as long as the scope lives:
 * `const search = yield* Cached.method({ name: "search", schema, ttl: "5 minutes" }, (query: Query) => find(query))`.
 */
export const method = <Args extends ReadonlyArray<unknown>, A, I, E, R>(
  options: MethodOptions<Args, A, I>,
  call: (...args: Args) => Effect.Effect<A, E, R>
): Effect.Effect<Cached<Args, A, E>, never, Store | Settings | Scope.Scope | R> => {
  const { key = (...args: Args) => Arguments.key(args), ...rest } = options
  return Effect.map(
    Cache.make({
      ...rest,
      key: (args: Args) => key(...args),
      lookup: (args) => Effect.map(call(...args), Option.some)
    }),
    (cache) =>
      Object.assign((...args: Args) => Effect.map(cache.get(args), Option.getOrThrow), {
        invalidate: (...args: Args) => cache.invalidate(args),
        hitRate: cache.hitRate
      })
  )
}

/** What a method's calls on one object gave, and the calls under way. */
interface Memo<A, E> {
  readonly near: Near<A>
  /** Completed with nothing when the caller that runs it was interrupted: then another runs it. */
  readonly flights: Map<string, Deferred.Deferred<Option.Option<Exit.Exit<A, E>>>>
}

const remembered = <A, E, R>(
  memo: Memo<A, E>,
  key: string,
  ttlMillis: number,
  labels: { readonly hit: () => void; readonly miss: () => void },
  call: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.clockWith((clock): Effect.Effect<A, E, R> => {
    const found = memo.near.fresh(key, clock.unsafeCurrentTimeMillis())
    if (found !== undefined) {
      labels.hit()
      return Effect.map(found.exit, Option.getOrThrow)
    }
    // Between the two nothing may interrupt, or others would wait for a call that nobody runs.
    return Effect.uninterruptibleMask((restore) => {
      const flying = memo.flights.get(key)
      if (flying !== undefined)
        return Effect.flatMap(
          restore(Deferred.await(flying)),
          Option.getOrElse(() => restore(remembered(memo, key, ttlMillis, labels, call)))
        )
      labels.miss()
      const flight = Deferred.unsafeMake<Option.Option<Exit.Exit<A, E>>>(FiberId.none)
      memo.flights.set(key, flight)
      return Effect.onExit(restore(call), (exit) =>
        Effect.clockWith((at) => {
          memo.flights.delete(key)
          const until = at.unsafeCurrentTimeMillis() + ttlMillis
          if (Exit.isSuccess(exit))
            memo.near.set(key, Option.some(exit.value), { until, staleUntil: until, refreshAt: Infinity })
          return Deferred.succeed(flight, Exit.isInterrupted(exit) ? Option.none() : Option.some(exit))
        })
      )
    })
  })

type Method<This, Args extends Array<unknown>, A, E, R> = (this: This, ...args: Args) => Effect.Effect<A, E, R>

/** The method's calls through the shared caches, in the services of the caller. */
const shared = <A, E, R>(
  caches: typeof Caches.Service,
  definition: Definition,
  key: string,
  call: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.contextWithEffect((context: Context.Context<R>) =>
    caches.get(definition, { key, run: Effect.provide(call, context) })
  ) as Effect.Effect<A, E, R>

/**
 * For methods of classes (standard decorators): `@cacheable("5 minutes", "search")`. Where `Caches` is among the services
 * of the caller, results are kept by arguments (`Arguments.key`) for all objects and processes, and must be plain JSON or
 * fit `schema`; each method needs a `name` of its own. Elsewhere they are kept in this process, per object. Callers at one
 * time share a call; failures are not kept.
 */
export const cacheable =
  (ttl: Duration.DurationInput, name: string, schema: Schema.Schema.AnyNoContext = Schema.Unknown) =>
  <This extends object, Args extends Array<unknown>, A, E, R>(
    target: Method<This, Args, A, E, R>,
    _context: ClassMethodDecoratorContext<This, Method<This, Args, A, E, R>>
  ): Method<This, Args, A, E, R> => {
    const memos = new WeakMap<This, Memo<A, E>>()
    const definition: Definition = { name, ttl, schema }
    const ttlMillis = Duration.toMillis(ttl)
    const hits = Metrics.series(Metrics.cacheHits, name, "near")
    const misses = Metrics.series(Metrics.cacheMisses, name)
    const evictions = Metrics.series(Metrics.cacheEvictions, name)
    const labels = { hit: () => hits.unsafeUpdate(1, []), miss: () => misses.unsafeUpdate(1, []) }
    const memoOf = (self: This): Memo<A, E> => {
      const made = {
        near: new Near<A>({ entriesMax: nearMax, bytesMax: Infinity }, () => evictions.unsafeUpdate(1, [])),
        flights: new Map<string, Deferred.Deferred<Option.Option<Exit.Exit<A, E>>>>()
      }
      memos.set(self, made)
      return made
    }
    return function (...args) {
      const call = Effect.suspend(() => target.apply(this, args))
      return Effect.withFiberRuntime((fiber) => {
        const key = Arguments.key(args)
        const caches = Context.getOption(fiber.currentContext, Caches)
        if (Option.isSome(caches)) return shared(caches.value, definition, key, call)
        return remembered(memos.get(this) ?? memoOf(this), key, ttlMillis, labels, call)
      })
    }
  }
