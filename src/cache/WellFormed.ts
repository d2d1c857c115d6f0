/// <reference lib="es2024.string" />

/** Begins what was no text. */
const mark = "\0"

/**
 * Any string as text that UTF-8 carries, and that no other string becomes: on the way to Redis all halves of surrogate
 * pairs would become one and the same character.
 */
export const encode = (string: string): string =>
  string.isWellFormed() && string.charCodeAt(0) !== 0 ? string : mark + Buffer.from(string, "utf16le").toString("hex")

/** The string again. */
export const decode = (text: string): string =>
  text.startsWith(mark) ? Buffer.from(text.slice(mark.length), "hex").toString("utf16le") : text
