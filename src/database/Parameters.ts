/** A value inside an array literal, quoted wherever the form asks for it. */
const element = (value: unknown): string => {
  if (value === null || value === undefined) return "NULL"
  if (Array.isArray(value)) return arrayLiteral(value)
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return String(value)
  if (value instanceof Date) return `"${value.toISOString()}"`
  if (value instanceof Uint8Array) return `"\\\\x${hex(value)}"`
  const text = typeof value === "string" ? value : JSON.stringify(value)
  return `"${text.replace(/["\\]/g, "\\$&")}"`
}

const hex = (bytes: Uint8Array): string => bytes.reduce((text, byte) => text + byte.toString(16).padStart(2, "0"), "")

/** `["a", null, 'b"c']` -> `{"a",NULL,"b\"c"}`. */
const arrayLiteral = (values: ReadonlyArray<unknown>): string => `{${values.map(element).join(",")}}`

/**
 * A parameter as every driver understands it: arrays become Postgres array literals (cast them, `${ids}::uuid[]`), other
 * objects JSON text (cast it, `${text}::jsonb`), undefined null. Numbers, text, booleans, dates and bytes stay.
 */
export const encode = (value: unknown): unknown => {
  if (value === undefined || value === null) return null
  if (typeof value === "bigint") return value.toString()
  if (typeof value !== "object" || value instanceof Date || value instanceof Uint8Array) return value
  return Array.isArray(value) ? arrayLiteral(value) : JSON.stringify(value)
}
