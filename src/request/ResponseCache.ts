import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Tags } from "../cache/Tags.ts"
import type { Operation } from "../graphql/Prepared.ts"
import type { Session } from "../session/Session.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { Encoding } from "./encoding.ts"
import { compress } from "./encoding.ts"

/** Bytes of answers kept in this process, with all that they are found and forgotten by; the oldest unused go first. */
export const bytesMax = 16 * 1_024 * 1_024
/** A larger answer is not kept, and none to a question that makes it as large. */
export const answerBytesMax = 512 * 1_024
/** Tags whose last change is remembered, so that an answer read before it is not kept after it. */
export const changesMax = 10_000

/** An answer without tags is kept only if it says that it lives no longer than this. */
export const untoldMillisMax = 5_000

/** An answer as it is sent, in as many encodings as were asked for. */
export class Kept {
  readonly text: string
  readonly bytes: number
  /** Bytes of the entry without compressed forms. */
  readonly cost: number
  readonly until: number
  readonly tags: ReadonlySet<string>
  readonly onGrow: (bytes: number) => void
  private readonly variants = new Map<Encoding, Uint8Array<ArrayBuffer>>()
  private tag: string | undefined
  used = false

  constructor({ key, tags }: Slot, text: string, until: number, onGrow: (bytes: number) => void) {
    this.text = text
    this.bytes = Buffer.byteLength(text)
    this.cost = this.bytes + key.length + overhead + tags.size * tagOverhead
    this.until = until
    this.tags = tags
    this.onGrow = onGrow
  }

  /** Compressed once. */
  in(encoding: Encoding): Uint8Array<ArrayBuffer> {
    const made = this.variants.get(encoding)
    if (made !== undefined) return made
    const variant = compress(encoding, Buffer.from(this.text))
    this.variants.set(encoding, variant)
    this.onGrow(variant.byteLength)
    return variant
  }

  /** Bytes of the compressed forms. */
  get grown(): number {
    let bytes = 0
    for (const variant of this.variants.values()) bytes += variant.byteLength
    return bytes
  }

  /** Weak: the same for every encoding. */
  get etag(): string {
    return (this.tag ??= etagOf(this.text))
  }
}

export const etagOf = (text: string): string =>
  `W/"${createHash("sha256").update(text).digest("base64url").slice(0, 22)}"`

/** Where an answer would be kept, and the state of things when it began to be made. */
export interface Slot {
  readonly key: string
  readonly maxAgeMillis: number
  readonly begun: number
  /** What it is made of, such as `user:<uuid>`. */
  readonly tags: Set<string>
}

/** Answers to queries that say how long they live. */
export interface ResponseCache {
  /** Where the answer for this viewer is kept; undefined when it may not be. */
  readonly slot: (
    operation: Operation,
    variables: Readonly<Record<string, unknown>>,
    session: Session | undefined
  ) => string | undefined
  readonly find: (key: string, nowMillis: number) => Kept | undefined
  readonly begin: (operation: Operation, key: string) => Slot
  /** Keeps the answer, unless something that it is made of has changed since it began. */
  readonly keep: (slot: Slot, text: string, nowMillis: number) => Kept
  readonly stats: () => { readonly entries: number; readonly bytes: number }
}

/** What an entry costs beside its text, and each of its tags: 240 to 480 bytes, the more the fewer answers share it. */
const overhead = 256
const tagOverhead = 384

const store = (ttlMillis: number) => {
  const entries = new Map<string, Kept>()
  const keysOf = new Map<string, Set<string>>()
  const changes = new Map<string, number>()
  let changeCount = 0
  /** Changes up to this one are forgotten. */
  let forgotten = 0
  let bytes = 0
  const evictions = Metrics.series(Metrics.cacheEvictions, "response")
  const size = Metrics.series(Metrics.cacheEntries, "response")

  const drop = (key: string, kept: Kept): void => {
    entries.delete(key)
    bytes -= kept.cost + kept.grown
    for (const tag of kept.tags) {
      const keys = keysOf.get(tag)
      keys?.delete(key)
      if (keys?.size === 0) keysOf.delete(tag)
    }
    size.unsafeUpdate(entries.size, [])
  }

  const makeRoom = (): void => {
    for (const [key, kept] of entries) {
      if (bytes <= bytesMax) return
      if (kept.used) {
        kept.used = false
        entries.delete(key)
        entries.set(key, kept)
        continue
      }
      drop(key, kept)
      evictions.unsafeUpdate(1, [])
    }
  }

  const note = (tag: string): void => {
    changes.delete(tag)
    changes.set(tag, ++changeCount)
    if (changes.size <= changesMax) return
    for (const [oldest, at] of changes) {
      changes.delete(oldest)
      forgotten = at
      return
    }
  }

  const isFresh = ({ begun, tags }: Slot): boolean => {
    if (begun < forgotten) return false
    for (const tag of tags) if ((changes.get(tag) ?? 0) > begun) return false
    return true
  }

  const put = (slot: Slot, kept: Kept): void => {
    const before = entries.get(slot.key)
    if (before !== undefined) drop(slot.key, before)
    entries.set(slot.key, kept)
    bytes += kept.cost
    for (const tag of slot.tags) {
      const keys = keysOf.get(tag)
      if (keys === undefined) keysOf.set(tag, new Set([slot.key]))
      else keys.add(slot.key)
    }
    size.unsafeUpdate(entries.size, [])
    makeRoom()
  }

  return {
    find: (key: string, nowMillis: number): Kept | undefined => {
      const kept = entries.get(key)
      if (kept === undefined) return undefined
      if (kept.until <= nowMillis) {
        drop(key, kept)
        return undefined
      }
      kept.used = true
      return kept
    },
    begun: () => changeCount,
    keep: (slot: Slot, text: string, nowMillis: number): Kept => {
      const until = nowMillis + Math.min(slot.maxAgeMillis, ttlMillis)
      const kept: Kept = new Kept(slot, text, until, (grown) => {
        if (entries.get(slot.key) !== kept) return
        bytes += grown
        makeRoom()
      })
      // What nobody tells the change of is not kept for long: an answer about nobody is true until somebody signs up.
      const isTold = slot.tags.size > 0 || slot.maxAgeMillis <= untoldMillisMax
      if (kept.cost <= answerBytesMax && until > nowMillis && isTold && isFresh(slot)) put(slot, kept)
      return kept
    },
    invalidate: (tags: ReadonlyArray<string>): void => {
      for (const tag of tags) {
        note(tag)
        for (const key of keysOf.get(tag) ?? []) {
          const kept = entries.get(key)
          if (kept !== undefined) drop(key, kept)
        }
      }
    },
    clear: (): void => {
      forgotten = ++changeCount
      for (const [key, kept] of entries) drop(key, kept)
    },
    stats: () => ({ entries: entries.size, bytes })
  }
}

/** A cache for as long as the scope lives; it forgets with every other cache of the same tags, in every process. */
export const make = (options: {
  readonly ttlMillis: number
}): Effect.Effect<ResponseCache, never, Tags | Scope.Scope> =>
  Effect.gen(function* () {
    const kept = store(options.ttlMillis)
    const tags = yield* Tags
    yield* tags.follow((changed) => (changed === undefined ? kept.clear() : kept.invalidate(changed)))
    return {
      slot: (operation, variables, session) => {
        const { cachePolicy } = operation
        if (cachePolicy === undefined) return undefined
        if (cachePolicy.scope === "PUBLIC") return `${operation.hash} ${JSON.stringify(variables)}`
        // Roles see different things of the same people.
        return session === undefined
          ? undefined
          : `${operation.hash} ${session.userId} ${session.role} ${JSON.stringify(variables)}`
      },
      find: kept.find,
      begin: (operation, key) => ({
        key,
        maxAgeMillis: (operation.cachePolicy?.maxAgeSeconds ?? 0) * 1_000,
        begun: kept.begun(),
        tags: new Set()
      }),
      keep: kept.keep,
      stats: kept.stats
    }
  })
