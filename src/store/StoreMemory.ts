import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Metrics from "../telemetry/Metrics.ts"
import { type Bounds, MemoryState } from "./MemoryState.ts"
import { type Change, type Delivery, Store, ttlMillis } from "./Store.ts"

/** Keys and UTF-16 units a memory store holds at most; beyond that the keys unused for longest go. */
export const bounds: Bounds = { keysMax: 100_000, unitsMax: 32 * 1_024 * 1_024 }

/** By code point, which is the order of the UTF-8 bytes that Redis compares; UTF-16 order differs above U+FFFF. */
const byBytes = (a: string, b: string): number => {
  for (let i = 0; i < a.length && i < b.length; i++) {
    if (a.charCodeAt(i) === b.charCodeAt(i)) continue
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    const surrogates = (x & 0xf800) === 0xd800 || (y & 0xf800) === 0xd800
    return surrogates ? a.codePointAt(i)! - b.codePointAt(i)! : x - y
  }
  return a.length - b.length
}

const collections = (state: MemoryState, at: <A>(f: () => A) => Effect.Effect<A>) => ({
  hashSet: (key: string, fields: Readonly<Record<string, string>>, ttl?: Duration.DurationInput) =>
    at(() => {
      const entries = Object.entries(fields)
      if (entries.length === 0) return
      const value = state.read(key, "hash") ?? { kind: "hash", fields: new Map<string, string>() }
      for (const [field, text] of entries) value.fields.set(field, text)
      state.write(key, value, ttl === undefined ? undefined : (ttlMillis(ttl) ?? Infinity))
    }),
  hashGet: (key: string, field: string) => at(() => Option.fromNullable(state.read(key, "hash")?.fields.get(field))),
  hashGetAll: (key: string) => at(() => Object.fromEntries(state.read(key, "hash")?.fields ?? [])),
  hashRemove: (key: string, ...fields: ReadonlyArray<string>) =>
    at(() => {
      const value = fields.length === 0 ? undefined : state.read(key, "hash")
      let removed = 0
      let units = 0
      for (const field of value === undefined ? [] : fields) {
        const text = value!.fields.get(field)
        if (text === undefined) continue
        value!.fields.delete(field)
        removed++
        units += field.length + text.length
      }
      state.changed(key, -units)
      return removed
    }),
  listPush: (key: string, values: ReadonlyArray<string>, keep: number) =>
    at(() => {
      if (values.length === 0) return state.read(key, "list")?.elements.length ?? 0
      const before = state.read(key, "list")?.elements ?? []
      const elements = [...before, ...values].slice(-Math.max(1, keep))
      state.write(key, { kind: "list", elements })
      return elements.length
    }),
  listRange: (key: string, start: number, stop: number) =>
    at(() => {
      const elements = state.read(key, "list")?.elements ?? []
      const from = Math.max(0, start < 0 ? elements.length + start : start)
      return elements.slice(from, Math.max(0, (stop < 0 ? elements.length + stop : stop) + 1))
    }),
  setAdd: (key: string, ...members: ReadonlyArray<string>) =>
    at(() => {
      if (members.length === 0) return 0
      const value = state.read(key, "set") ?? { kind: "set", members: new Set<string>() }
      const before = value.members.size
      for (const member of members) value.members.add(member)
      state.write(key, value)
      return value.members.size - before
    }),
  setRemove: (key: string, ...members: ReadonlyArray<string>) =>
    at(() => {
      const removed = members.filter((member) => state.read(key, "set")?.members.delete(member))
      state.changed(key, -removed.reduce((units, member) => units + member.length, 0))
      return removed.length
    }),
  setMembers: (key: string) => at(() => [...(state.read(key, "set")?.members ?? [])]),
  sortedAdd: (key: string, entries: ReadonlyArray<readonly [member: string, score: number]>) =>
    at(() => {
      if (entries.length === 0) return 0
      const value = state.read(key, "sorted") ?? { kind: "sorted", scores: new Map<string, number>() }
      const before = value.scores.size
      for (const [member, score] of entries) value.scores.set(member, score)
      state.write(key, value)
      return value.scores.size - before
    }),
  sortedRemove: (key: string, ...members: ReadonlyArray<string>) =>
    at(() => {
      const removed = members.filter((member) => state.read(key, "sorted")?.scores.delete(member))
      state.changed(key, -removed.reduce((units, member) => units + member.length, 0))
      return removed.length
    }),
  sortedRange: (key: string, min: number, max: number) =>
    at(() =>
      [...(state.read(key, "sorted")?.scores ?? [])]
        .filter(([, score]) => score >= min && score <= max)
        .sort((a, b) => a[1] - b[1] || byBytes(a[0], b[0]))
    )
})

const channels = () => {
  const byChannel = new Map<string, Set<(delivery: Delivery) => void>>()
  return {
    publish: (channel: string, payload: string) =>
      Effect.sync(() => {
        const listeners = byChannel.get(channel) ?? new Set()
        for (const heard of listeners) heard({ _tag: "Message", payload })
        return listeners.size
      }),
    subscribe: (channel: string, heard: (delivery: Delivery) => void) =>
      Effect.acquireRelease(
        Effect.sync(() => void byChannel.set(channel, (byChannel.get(channel) ?? new Set()).add(heard))),
        () =>
          Effect.sync(() => {
            const listeners = byChannel.get(channel)
            listeners?.delete(heard)
            if (listeners?.size === 0) byChannel.delete(channel)
          })
      )
  }
}

interface Follower {
  readonly client: object
  readonly prefix: string
  readonly onChange: (change: Change) => void
}

/** The data that several clients share, as several processes share one Redis. */
export interface Server {
  readonly state: MemoryState
  readonly channels: ReturnType<typeof channels>
  readonly followers: Set<Follower>
  /** Whose operation runs. */
  client: object | undefined
}

/** Beyond `limits` the keys unused for longest go. */
export const server = (limits: Bounds = bounds): Server => {
  const followers = new Set<Follower>()
  const onChange = (key: string): void => {
    for (const { client, onChange, prefix } of followers)
      if (client !== made.client && key.startsWith(prefix)) onChange({ _tag: "Changed", keys: [key] })
  }
  const onEvict = () => Metrics.storeEvictions.unsafeUpdate(1, [])
  const made: Server = {
    state: new MemoryState(limits, onEvict, onChange),
    channels: channels(),
    followers,
    client: undefined
  }
  return made
}

/** One more client of the data, with the semantics of Redis and the Clock's time. Never unavailable. */
export const connect = (shared: Server): typeof Store.Service => {
  const { state } = shared
  const client = {}
  const at = <A>(f: () => A): Effect.Effect<A> =>
    Effect.clockWith((clock: Clock.Clock) => {
      state.nowMillis = clock.unsafeCurrentTimeMillis()
      shared.client = client
      return Effect.succeed(f())
    })
  const write = (key: string, value: string, ttl: Duration.DurationInput | undefined) =>
    state.set(key, value, ttl === undefined ? undefined : ttlMillis(ttl))
  // A value of another kind is absent to MGET, though a mistake to GET.
  const texts = (keys: ReadonlyArray<string>) => at(() => keys.map((key) => state.mget(key)))
  return {
    backend: "memory",
    get: (key) => at(() => Option.fromNullable(state.get(key))),
    getMany: texts,
    getStored: texts,
    set: (key, value, options) =>
      at(() => {
        if (options?.onlyIfAbsent === true && state.has(key)) return false
        write(key, value, options?.ttl)
        return true
      }),
    setMany: (entries, ttl) =>
      at(() => {
        for (const [key, value] of entries) write(key, value, ttl)
      }),
    remove: (...keys) => at(() => keys.reduce((removed, key) => removed + (state.del(key) ? 1 : 0), 0)),
    expire: (key, ttl) => at(() => state.pexpire(key, ttlMillis(ttl) ?? Infinity)),
    ...collections(state, at),
    // What is stored here is text.
    run: (script, keys, args) => at(() => script.memory(state, keys, args as ReadonlyArray<string>, state.nowMillis)),
    ...shared.channels,
    follow: (prefix, onChange) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const follower = { client, prefix, onChange }
          shared.followers.add(follower)
          onChange({ _tag: "Following" })
          return follower
        }),
        (follower) => Effect.sync(() => shared.followers.delete(follower))
      ),
    ping: Effect.succeed(Duration.zero)
  }
}

/** A store in this process with data of its own. */
export const make = (limits: Bounds = bounds): Effect.Effect<typeof Store.Service> =>
  Effect.sync(() => connect(server(limits)))

/** The store in this process, bounded by `bounds`. */
export const layer: Layer.Layer<Store> = Layer.effect(Store, make())
