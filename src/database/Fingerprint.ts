/** Characters of a fingerprint at most; a longer statement is cut. */
export const fingerprintLengthMax = 1_000

const noise = /--[^\n]*|\/\*[\s\S]*?\*\/|\s+/g
const literal =
  /\$(\w*)\$[\s\S]*?\$\1\$|[eExXbB]?'(?:[^']|'')*'|\$\d+|(?<![\w"])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w"])/g
const list = /\(\s*\?(?:::[\w[\]]+)?(?:\s*,\s*\?(?:::[\w[\]]+)?)+\s*\)/g
const rows = /(\((?:\?|\?\+)\))(?:\s*,\s*\((?:\?|\?\+)\))+/g

/**
 * The statement without what differs from call to call: literals and parameters become `?`, lists of them `(?+)`, and
 * many rows of values one. Holds no value, so that it can be logged.
 */
export const fingerprint = (sql: string): string =>
  sql
    .slice(0, fingerprintLengthMax * 8)
    .replace(literal, "?")
    .replace(noise, " ")
    .replace(list, "(?+)")
    .replace(rows, "$1+")
    .trim()
    .slice(0, fingerprintLengthMax)
