import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { type Script, Store } from "../store/Store.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Drainer from "./Drainer.ts"
import { batchInterval, owedMax } from "./Options.ts"
import * as WellFormed from "./WellFormed.ts"

/** How long the store knows that a tag was invalidated: values with tags live shorter than that. */
export const tagTtl = Duration.days(1)
/** Tags whose last invalidation this process remembers; of others it asks the store. */
export const knownMax = 10_000

/** What follows invalidations: the tags, or undefined when any may have been. It must not throw. */
export type OnInvalidated = (tags: ReadonlyArray<string> | undefined) => void

/**
 * Names that values of many caches share (`user:<id>`), so that one change forgets all that was made from it, in every
 * process. A value is worth what its tags say: it counts only when its lookup began after the last invalidation of each,
 * by the store's clock. Where that is set back, or the store drops a tag for want of room, a value may live until its ttl.
 * `by` gives a cache its tags: `Cache.make({ …, tags: tags.by((page) => page.tags) })`.
 */
export class Tags extends Context.Tag("@connect/Tags")<
  Tags,
  {
    /** Call it after the change is committed. When the Effect returns, this process has forgotten; others do on the news. */
    readonly invalidate: (...tags: ReadonlyArray<string>) => Effect.Effect<void>
    /** For caches of other kinds; `onInvalidated` is called as the news comes in. */
    readonly follow: (onInvalidated: OnInvalidated) => Effect.Effect<void, never, Scope.Scope>
    /** When each of the tags was invalidated, milliseconds; -1: not for `tagTtl`; Infinity: just now, or nobody knows. */
    readonly times: (tags: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, number>>
    readonly by: <K, A>(of: (value: A, key: K) => ReadonlyArray<string>) => Tagging<K, A>
  }
>() {}

/** How a cache finds the tags of its values. */
export interface Tagging<K, A> {
  readonly of: (value: A, key: K) => ReadonlyArray<string>
  readonly tags: Pick<typeof Tags.Service, "follow" | "times">
}

const prefix = "cache-tag:"

const nameOf = (tag: string): string => prefix + WellFormed.encode(tag)

/** Notes that the tag is invalidated now. keys: the tag's; args: time to live in milliseconds. The store's time. */
export const touch: Script<number> = {
  name: "cache_touch",
  lua: `
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call("SET", KEYS[1], string.format("%.0f", now), "PX", ARGV[1])
return now`,
  memory: (data, [key], [ttl], nowMillis) => {
    data.set(key!, String(nowMillis), Number(ttl))
    return nowMillis
  },
  decode: Number
}

/** What this process knows of the tags. */
class Known {
  readonly followers = new Set<OnInvalidated>()
  /** Invalidations that the store has not taken yet, each with the attempt that is to tell it. */
  readonly owed = new Map<string, object>()
  private readonly times = new Map<string, number>()
  private following = false
  private news = 0

  tell(tags: ReadonlyArray<string> | undefined): void {
    this.news++
    for (const follower of this.followers) follower(tags)
  }

  changed(tags: ReadonlyArray<string>): void {
    for (const tag of tags) this.times.delete(tag)
    this.tell(tags)
  }

  reset(following: boolean): void {
    this.following = following
    this.times.clear()
    this.tell(undefined)
  }

  owe(tags: ReadonlyArray<string>, attempt: object): void {
    for (const tag of tags) this.owed.set(tag, attempt)
    for (const [oldest] of this.owed) {
      if (this.owed.size <= owedMax) break
      this.owed.delete(oldest)
      Metrics.series(Metrics.cacheLost, "tags").unsafeUpdate(1, [])
    }
    this.changed(tags)
  }

  time(tag: string): number | undefined {
    return this.owed.has(tag) ? Infinity : this.times.get(tag)
  }

  /** A mark to ask for before reading from the store, and to give when remembering what was read. */
  get mark(): number {
    return this.news
  }

  remember(tag: string, time: number, mark: number): void {
    if (!this.following || mark !== this.news) return
    this.times.set(tag, time)
    if (this.times.size > knownMax) for (const oldest of this.times.keys()) return void this.times.delete(oldest)
  }
}

const invalidating = (store: typeof Store.Service, known: Known) => {
  const one = (tag: string, attempt: object) =>
    Effect.match(store.run(touch, [nameOf(tag)], [String(Duration.toMillis(tagTtl))]), {
      onFailure: () => Metrics.series(Metrics.cacheFailures, "tags").unsafeUpdate(1, []),
      onSuccess: () => {
        if (known.owed.get(tag) === attempt) known.owed.delete(tag)
      }
    })
  return (tags: ReadonlyArray<string>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const attempt = {}
      known.owe(tags, attempt)
      return Effect.forEach(tags, (tag) => one(tag, attempt), { concurrency: "unbounded", discard: true })
    })
}

const reading = (store: typeof Store.Service, known: Known) => (tags: ReadonlyArray<string>) =>
  Effect.suspend(() => {
    const times = new Map<string, number>()
    const unknown: Array<string> = []
    for (const tag of tags) {
      const time = known.time(tag)
      if (time === undefined) unknown.push(tag)
      else times.set(tag, time)
    }
    if (unknown.length === 0) return Effect.succeed(times)
    const mark = known.mark
    return Effect.match(store.getMany(unknown.map(nameOf)), {
      onFailure: () => new Map([...times, ...unknown.map((tag) => [tag, Infinity] as const)]),
      onSuccess: (texts) => {
        for (const [index, tag] of unknown.entries()) {
          const time = Number(texts[index] ?? "-1")
          known.remember(tag, time, mark)
          times.set(tag, time)
        }
        return times
      }
    })
  })

const make = Effect.gen(function* () {
  const store = yield* Store
  const known = new Known()
  yield* store.follow(prefix, (change) => {
    if (change._tag === "Changed")
      known.changed(change.keys.map((name) => WellFormed.decode(name.slice(prefix.length))))
    else known.reset(change._tag === "Following")
  })
  const invalidate = invalidating(store, known)
  const retry = Drainer.make(
    yield* Effect.scope,
    batchInterval,
    Effect.suspend(() => Effect.map(invalidate([...known.owed.keys()]), () => known.owed.size > 0))
  )
  const service: typeof Tags.Service = {
    // Whoever asks may go away meanwhile: what the store does not take is owed to it all the same.
    invalidate: (...tags) =>
      Effect.uninterruptible(
        Effect.zipRight(
          invalidate(tags),
          Effect.suspend(() => (known.owed.size > 0 ? retry.kick : Effect.void))
        )
      ),
    follow: (onInvalidated) =>
      Effect.acquireRelease(
        Effect.sync(() => known.followers.add(onInvalidated)),
        () => Effect.sync(() => known.followers.delete(onInvalidated))
      ),
    times: reading(store, known),
    by: (of) => ({ of, tags: service })
  }
  return service
})

/** Tags in the Store: every process on it forgets together. */
export const layer: Layer.Layer<Tags, never, Store> = Layer.scoped(Tags, make)
