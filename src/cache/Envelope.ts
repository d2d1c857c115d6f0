import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Script } from "../store/Store.ts"
import * as Compression from "./Compression.ts"

/**
 * How a value stands in the store: a format byte, when it stops being fresh (milliseconds, base 36), a stamp that no
 * other write has, and the body. "n" is the absence of a value and "x" the mark of an invalidation; both have no body.
 * `jm0zq3k1a.7f3a-12;{"id":…}`
 */
export interface Envelope<A> {
  readonly value: Option.Option<A>
  readonly freshUntil: number
}

/** The part before the body; two writes never have the same. "" stands for a key that was not there. */
export const header = (text: string): string => {
  const end = text.indexOf(";")
  return end < 0 ? text : text.slice(0, end + 1)
}

const form = /^([jzgn])([0-9a-z]+)\.[^;]*;/

/** Texts from values and back. `compressOver`: bodies of more UTF-16 units than that are compressed. */
export const codec = <A, I>(schema: Schema.Schema<A, I>, compressOver: number, stamp: () => string) => {
  const encode = Schema.encodeSync(schema)
  const decode = Schema.decodeUnknownEither(schema)
  return {
    /** Throws when the value does not fit its schema: a mistake of the program. */
    encode: (value: Option.Option<A>, freshUntil: number): string => {
      const rest = `${Math.ceil(freshUntil).toString(36)}.${stamp()};`
      if (Option.isNone(value)) return `n${rest}`
      const text = JSON.stringify(encode(value.value))
      if (text.length <= compressOver) return `j${rest}${text}`
      const { body, format } = Compression.pack(text)
      return `${format}${rest}${body}`
    },
    /** undefined for an invalidation's mark and for what another version or runtime wrote and this one cannot read. */
    decode: (text: string): Envelope<A> | undefined => {
      const match = form.exec(text)
      if (match === null) return undefined
      const freshUntil = Number.parseInt(match[2]!, 36)
      if (match[1] === "n") return { value: Option.none(), freshUntil }
      const json = Compression.unpack(match[1]!, text.slice(match[0].length))
      if (json === undefined) return undefined
      try {
        const decoded = decode(JSON.parse(json))
        return Either.isRight(decoded) ? { value: Option.some(decoded.right), freshUntil } : undefined
      } catch {
        return undefined
      }
    },
    /** The mark that an invalidation leaves, so that a lookup begun before it cannot put its old value back. */
    mark: (): string => `x0.${stamp()};`
  }
}

/**
 * Writes what a lookup found, unless the key has changed since the lookup's caller read it. keys: the key; args: the
 * header seen then, the new text, its time to live in milliseconds. 1 when written.
 */
export const fill: Script<number> = {
  name: "cache_fill",
  lua: `
local now = redis.call("GET", KEYS[1])
local seen = ARGV[1]
if seen == "" then
  if now then return 0 end
elseif not now or string.sub(now, 1, #seen) ~= seen then
  return 0
end
redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
return 1`,
  memory: (data, [key], [seen, text, ttl]) => {
    const now = data.get(key!)
    if (seen === "" ? now !== null : now === null || !now.startsWith(seen!)) return 0
    data.set(key!, text!, Number(ttl))
    return 1
  },
  decode: Number
}
