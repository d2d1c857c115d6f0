import * as Either from "effect/Either"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import type { Script } from "../store/Store.ts"
import type { Stored } from "../store/Stored.ts"
import * as Compression from "./Compression.ts"
import * as WellFormed from "./WellFormed.ts"

/**
 * How a value stands in the store: at fixed places a format byte, when it stops being fresh (milliseconds, base 36), when
 * its lookup began by the store's clock (milliseconds) and the schema it was written with; then a stamp that no other
 * write has, its tags, and the body. "n" is the absence of a value, "u" the value undefined; they have no body.
 * `j00m0zq3k1a17672256000000003k9z7f3a-12.user%3A7;{"id":…}`. A lease stands before what was there: `l7f3a-13;j00m0z…`;
 * whoever wrote it looks the value up, and the others wait for it.
 */
export interface Envelope<A> {
  readonly value: Option.Option<A>
  readonly freshUntil: number
  /** NaN without tags: nobody asks. */
  readonly bornAt: number
  readonly tags: ReadonlyArray<string>
}

/** Where the parts begin; each is filled up to its width with zeros. */
const place = { until: 1, born: 11, mark: 24, stamp: 31 } as const

/** When a lookup began, as it stands in the envelope. The scripts write the same. */
export const born = (millis: number): string => String(millis).padStart(place.mark - place.born, "0")

/**
 * The part before the body, or all of what has no parts; two writes never have the same. "" stands for an absent key. As it
 * is stored: what somebody else put there may be no text, and would as text never be what the store has.
 */
export const header = (stored: Stored): Stored => {
  const end = stored.indexOf(";") + 1
  if (end === 0) return stored
  return typeof stored === "string" ? stored.slice(0, end) : stored.subarray(0, end)
}

/** Whether a lease stands before what was there. */
export const isLeased = (stored: Stored): boolean => stored.length > 0 && (stored[0] === "l" || stored[0] === leaseByte)

const leaseByte = 108

/** The text without the lease before it. */
export const beneath = (text: string): string => (text.startsWith("l") ? text.slice(text.indexOf(";") + 1) : text)

const noTags: ReadonlyArray<string> = []

/** Differs for schemas that differ: what was written with the same one needs no second look. */
const fingerprint = (ast: SchemaAST.AST, dictionary: string | undefined): string =>
  (Hash.string(JSON.stringify([ast, dictionary])) >>> 0).toString(36).padStart(place.stamp - place.mark, "0")

const tagsOf = (text: string): ReadonlyArray<string> | undefined => {
  try {
    return text.split(",").map((tag) => WellFormed.decode(decodeURIComponent(tag)))
  } catch {
    return undefined
  }
}

interface CodecOptions<A, I> {
  readonly schema: Schema.Schema<A, I>
  /** Bodies of more UTF-16 units than that are compressed. */
  readonly compressOver: number
  readonly example: A | undefined
  readonly stamp: () => string
}

/** Texts from values and back. */
export const codec = <A, I>({ compressOver, example, schema, stamp }: CodecOptions<A, I>) => {
  const encode = Schema.encodeSync(schema)
  /** undefined has none. */
  const json = (value: A): string | undefined => JSON.stringify(encode(value))
  const decode = Schema.decodeUnknownEither(schema)
  const dictionary = example === undefined ? undefined : Compression.dictionary(json(example) ?? "")
  const { pack, unpack } = Compression.make(dictionary)
  const mark = fingerprint(schema.ast, dictionary)
  /** Without transformations what is in the JSON is the value itself. */
  const plain = SchemaAST.typeAST(schema.ast) === schema.ast
  /** `written`: with this very schema and example. By another example a body would unpack to something else. */
  const valueOf = (format: string, body: string, written: boolean): Option.Option<A> | undefined => {
    if (format === "n") return Option.none()
    const text = format === "j" || format === "u" ? body : written ? unpack(format, body) : undefined
    if (text === undefined) return undefined
    try {
      const parsed: unknown = format === "u" ? undefined : JSON.parse(text)
      if (plain && written) return Option.some(parsed as A)
      const decoded = decode(parsed)
      return Either.isRight(decoded) ? Option.some(decoded.right) : undefined
    } catch {
      return undefined
    }
  }
  return {
    /** Up to the time of birth, and after it. Throws when the value does not fit its schema: a mistake of the program. */
    encode: (value: Option.Option<A>, freshUntil: number, tags: ReadonlyArray<string>): readonly [string, string] => {
      const named =
        tags.length === 0 ? "" : `.${tags.map((tag) => encodeURIComponent(WellFormed.encode(tag))).join(",")}`
      const until = Math.ceil(freshUntil)
        .toString(36)
        .padStart(place.born - place.until, "0")
      const rest = `${mark}${stamp()}${named};`
      if (Option.isNone(value)) return [`n${until}`, rest]
      const text = json(value.value)
      if (text === undefined) return [`u${until}`, rest]
      if (text.length <= compressOver) return [`j${until}`, rest + text]
      const { body, format } = pack(text)
      return [format + until, rest + body]
    },
    /** undefined for what is no value, and for what another version or runtime wrote and this one cannot read. */
    decode: (text: string): Envelope<A> | undefined => {
      const end = text.indexOf(";", place.stamp)
      if (end < 0) return undefined
      const value = valueOf(text[0]!, text.slice(end + 1), text.startsWith(mark, place.mark))
      if (value === undefined) return undefined
      const freshUntil = Number.parseInt(text.slice(place.until, place.born), 36)
      // Without the body, which may be long and has no tags.
      const stamped = text.slice(place.stamp, end)
      const dot = stamped.indexOf(".")
      if (dot < 0) return { value, freshUntil, bornAt: Number.NaN, tags: noTags }
      const tags = tagsOf(stamped.slice(dot + 1))
      return tags && { value, freshUntil, bornAt: Number(text.slice(place.born, place.mark)), tags }
    },
    lease: (): string => `l${stamp()};`,
    /** UTF-16 units of the value as JSON. */
    units: (value: Option.Option<A>): number => (Option.isNone(value) ? 0 : (json(value.value)?.length ?? 0))
  }
}

/**
 * Puts a lease before what the key holds, unless that has changed since it was read; in place of another kind of value,
 * which was read as absent. keys: the key; args: the header seen, the lease, its time to live in milliseconds. The store's
 * time in milliseconds, -1 when refused.
 */
export const lease: Script<number> = {
  name: "cache_lease",
  lua: `
local text = redis.call("MGET", KEYS[1])[1] or ""
local seen = ARGV[1]
if (seen == "" and text ~= "") or string.sub(text, 1, #seen) ~= seen then return -1 end
if string.sub(text, 1, 1) == "l" then text = string.sub(text, #seen + 1) end
local ttl = math.max(redis.call("PTTL", KEYS[1]), tonumber(ARGV[3]))
redis.call("SET", KEYS[1], ARGV[2] .. text, "PX", ttl)
local time = redis.call("TIME")
return time[1] * 1000 + math.floor(time[2] / 1000)`,
  memory: (data, [key], [seen, text, ttl], nowMillis) => {
    const now = data.mget(key!) ?? ""
    if (seen === "" ? now !== "" : !now.startsWith(seen!)) return -1
    data.set(key!, text! + beneath(now), Math.max(data.pttl(key!), Number(ttl)))
    return nowMillis
  },
  decode: Number
}

/**
 * Ends a lease, if it is still there: with what the lookup found, or, for an empty text, with what was there before.
 * keys: the key; args: the lease, the new text, its time to live in milliseconds. 1 when the lease was there.
 */
export const settle: Script<number> = {
  name: "cache_settle",
  lua: `
local text = redis.call("GET", KEYS[1]) or ""
local lease = ARGV[1]
if string.sub(text, 1, #lease) ~= lease then return 0 end
if ARGV[2] ~= "" then
  redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
elseif #text == #lease then
  redis.call("DEL", KEYS[1])
else
  redis.call("SET", KEYS[1], string.sub(text, #lease + 1), "KEEPTTL")
end
return 1`,
  memory: (data, [key], [lease, text, ttl]) => {
    const now = data.get(key!) ?? ""
    if (!now.startsWith(lease!)) return 0
    if (text !== "") data.set(key!, text!, Number(ttl))
    else if (now === lease) data.del(key!)
    else data.set(key!, now.slice(lease!.length), Math.max(1, data.pttl(key!)))
    return 1
  },
  decode: Number
}

/**
 * Puts a value that carries tags, born now by the store's clock. keys: the key; args: the text up to that time, the text
 * after it, the time to live in milliseconds.
 */
export const put: Script<number> = {
  name: "cache_put",
  lua: `
local time = redis.call("TIME")
local born = string.format("%013.0f", time[1] * 1000 + math.floor(time[2] / 1000))
redis.call("SET", KEYS[1], ARGV[1] .. born .. ARGV[2], "PX", ARGV[3])
return 1`,
  memory: (data, [key], [before, after, ttl], nowMillis) => {
    data.set(key!, before! + born(nowMillis) + after!, Number(ttl))
    return 1
  },
  decode: Number
}
