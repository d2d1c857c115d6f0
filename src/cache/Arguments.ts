import * as Redacted from "effect/Redacted"

const isPlain = (value: unknown): boolean => {
  if (typeof value === "string" || typeof value === "boolean" || value === null) return true
  if (typeof value === "number") return Number.isFinite(value)
  if (typeof value !== "object") return false
  if (Array.isArray(value)) return value.every(isPlain)
  if (Object.getPrototypeOf(value) !== Object.prototype || "toJSON" in value) return false
  return Object.values(value).every((field) => field === undefined || isPlain(field))
}

const mistake = (what: string) =>
  new TypeError(`${what} cannot be part of the key of a cached call: give \`key\`, or pass what tells it apart`)

/** No object of a program has a field of this name. */
const mark = "\0"

/** What JSON would leave out, write as something else or not take. */
function replace(this: Readonly<Record<string, unknown>>, field: string, value: unknown): unknown {
  const given = this[field]
  if (Redacted.isRedacted(given)) throw mistake("A redacted value")
  if (value === undefined) return Array.isArray(this) ? { [mark]: "undefined" } : undefined
  if (typeof value === "number") return Number.isFinite(value) ? value : { [mark]: String(value) }
  if (typeof value === "bigint") return { [mark]: `${value}n` }
  if (typeof value === "function" || typeof value === "symbol") throw mistake(`A ${typeof value}`)
  if (typeof value !== "object" || value === null) return value
  if (value instanceof Map) return { [mark]: "Map", entries: [...value] }
  if (value instanceof Set) return { [mark]: "Set", members: [...value] }
  const says =
    Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype || Object.keys(value).length > 0
  if (!says) throw mistake("An object without fields of its own")
  return value
}

/**
 * The arguments as JSON, where JSON tells them apart; undefined, NaN, bigints, Maps and Sets are told apart too. Throws
 * for what has no such text: functions, symbols, redacted values, objects that show no fields.
 */
export const key = (args: ReadonlyArray<unknown>): string =>
  args.every(isPlain) ? JSON.stringify(args) : JSON.stringify(args, replace)
