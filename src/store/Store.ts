import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { StoreUnavailable } from "../errors.ts"
import type { Stored } from "./Stored.ts"

/** What a subscriber sees: a message, or that messages may have been missed (connection lost and back). */
export type Delivery = { readonly _tag: "Message"; readonly payload: string } | { readonly _tag: "Gap" }

/**
 * What a follower of keys sees: others changed these keys (written, removed, run out of time or evicted); or all of them
 * may have changed and, until `Following`, changes go unseen. A store emptied at once is `Lost`, then `Following`.
 */
export type Change =
  | { readonly _tag: "Changed"; readonly keys: ReadonlyArray<string> }
  | { readonly _tag: "Lost" }
  | { readonly _tag: "Following" }

/** Whole milliseconds of a time to live, at least 1; undefined for one without end. */
export const ttlMillis = (ttl: Duration.DurationInput): number | undefined => {
  const millis = Duration.toMillis(ttl)
  return Number.isFinite(millis) ? Math.max(1, Math.ceil(millis)) : undefined
}

/** A script that runs in one step on the store: Lua for Redis, its twin in TypeScript for memory. */
export interface Script<Result> {
  readonly name: string
  readonly lua: string
  /** The twin: the same reads and writes on the memory store's data. Must be synchronous. */
  readonly memory: (
    data: MemoryData,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<string>,
    nowMillis: number
  ) => Result
  /** From what Redis replies (integers, strings, null, arrays of them) to the result. */
  readonly decode: (reply: unknown) => Result
}

/** What a script's twin may do; the same semantics as the Redis commands of these names. */
export interface MemoryData {
  readonly get: (key: string) => string | null
  /** Of one key: null also when it holds another kind of value. */
  readonly mget: (key: string) => string | null
  readonly set: (key: string, value: string, ttlMillis?: number) => void
  readonly del: (key: string) => boolean
  readonly pttl: (key: string) => number
}

/**
 * What we use of Redis: one interface, on ioredis and in memory (`layers/Store.ts`). Values are UTF-8 text.
 * Nothing here is the only copy of anything. Every call answers or fails within 60 ms.
 */
export class Store extends Context.Tag("@connect/Store")<
  Store,
  {
    readonly get: (key: string) => Effect.Effect<Option.Option<string>, StoreUnavailable>
    /** In the order of the keys, as Redis tells it: null where there is none. */
    readonly getMany: (keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string | null>, StoreUnavailable>
    /** The same as the backend has them, for whoever compares them with what was there before. */
    readonly getStored: (keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Stored | null>, StoreUnavailable>
    readonly set: (
      key: string,
      value: string,
      options?: { readonly ttl?: Duration.DurationInput; readonly onlyIfAbsent?: boolean }
    ) => Effect.Effect<boolean, StoreUnavailable>
    readonly setMany: (
      entries: ReadonlyArray<readonly [key: string, value: string]>,
      ttl: Duration.DurationInput
    ) => Effect.Effect<void, StoreUnavailable>
    /** How many of the keys were there. */
    readonly remove: (...keys: ReadonlyArray<string>) => Effect.Effect<number, StoreUnavailable>
    readonly expire: (key: string, ttl: Duration.DurationInput) => Effect.Effect<boolean, StoreUnavailable>

    readonly hashSet: (
      key: string,
      fields: Readonly<Record<string, string>>,
      ttl?: Duration.DurationInput
    ) => Effect.Effect<void, StoreUnavailable>
    readonly hashGet: (key: string, field: string) => Effect.Effect<Option.Option<string>, StoreUnavailable>
    readonly hashGetAll: (key: string) => Effect.Effect<Readonly<Record<string, string>>, StoreUnavailable>
    readonly hashRemove: (key: string, ...fields: ReadonlyArray<string>) => Effect.Effect<number, StoreUnavailable>

    /** Appends and keeps the newest `keep` elements; returns the length. */
    readonly listPush: (
      key: string,
      values: ReadonlyArray<string>,
      keep: number
    ) => Effect.Effect<number, StoreUnavailable>
    /** From `start` to `stop`, both included; negative counts from the end. */
    readonly listRange: (
      key: string,
      start: number,
      stop: number
    ) => Effect.Effect<ReadonlyArray<string>, StoreUnavailable>

    readonly setAdd: (key: string, ...members: ReadonlyArray<string>) => Effect.Effect<number, StoreUnavailable>
    readonly setRemove: (key: string, ...members: ReadonlyArray<string>) => Effect.Effect<number, StoreUnavailable>
    readonly setMembers: (key: string) => Effect.Effect<ReadonlyArray<string>, StoreUnavailable>

    readonly sortedAdd: (
      key: string,
      entries: ReadonlyArray<readonly [member: string, score: number]>
    ) => Effect.Effect<number, StoreUnavailable>
    readonly sortedRemove: (key: string, ...members: ReadonlyArray<string>) => Effect.Effect<number, StoreUnavailable>
    /** Members with scores from `min` to `max`, lowest first. */
    readonly sortedRange: (
      key: string,
      min: number,
      max: number
    ) => Effect.Effect<ReadonlyArray<readonly [member: string, score: number]>, StoreUnavailable>

    readonly run: <Result>(
      script: Script<Result>,
      keys: ReadonlyArray<string>,
      args: ReadonlyArray<Stored>
    ) => Effect.Effect<Result, StoreUnavailable>

    /** How many subscribers got it, on this store. */
    readonly publish: (channel: string, payload: string) => Effect.Effect<number, StoreUnavailable>
    /**
     * Active when the Effect returns, for as long as the scope: what is published afterwards arrives, or a `Gap` says
     * that some may not have. `heard` is called as it comes in and must not throw.
     */
    readonly subscribe: (
      channel: string,
      heard: (delivery: Delivery) => void
    ) => Effect.Effect<void, StoreUnavailable, Scope.Scope>

    /**
     * Tells of every key that begins with `prefix` and that another client of the store changes; what this one changes
     * it knows. `onChange` is called as the news comes in, before the answers to what is read after that, and must not
     * throw. The prefixes followed must not be prefixes of each other. When the Effect returns, `Following` was said or
     * is still to come.
     */
    readonly follow: (prefix: string, onChange: (change: Change) => void) => Effect.Effect<void, never, Scope.Scope>

    /** Fails when the store is away; otherwise how long a round trip took. */
    readonly ping: Effect.Effect<Duration.Duration, StoreUnavailable>
    /** "memory" or "redis". */
    readonly backend: "memory" | "redis"
  }
>() {}
