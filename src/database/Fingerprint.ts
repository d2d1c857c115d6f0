/** Characters of a fingerprint at most; a longer statement is cut. */
export const fingerprintLengthMax = 1_000

/** Comments and literals in one reading: each may hold what looks like the other. A literal may be cut at the end. */
const token =
  /(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|\$(\w*)\$[\s\S]*?(?:\$\2\$|$)|[eExXbB]?'(?:[^']|'')*(?:'|$)|\$\d+|(?<![\w"])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w"])/g
const list = /\(\s*\?(?:::[\w[\]]+)?(?:\s*,\s*\?(?:::[\w[\]]+)?)+\s*\)/g
const rows = /(\((?:\?|\?\+)\))(?:\s*,\s*\((?:\?|\?\+)\))+/g

/**
 * The statement without what differs from call to call: literals and parameters become `?`, lists of them `(?+)`, and
 * many rows of values one. Holds no value, so that it can be logged.
 */
export const fingerprint = (sql: string): string =>
  sql
    .slice(0, fingerprintLengthMax * 8)
    .replace(token, (_, comment: string | undefined) => (comment === undefined ? "?" : " "))
    .replace(/\s+/g, " ")
    .replace(list, "(?+)")
    .replace(rows, "$1+")
    .trim()
    .slice(0, fingerprintLengthMax)

const quoted = /'(?:[^']|'')*'/g

/** A plan without the values that its statement was written with: texts become `?`. */
export const scrubbed = (plan: string): string => plan.replace(quoted, "?")

const verb = /^(\w+)/
const relation = /\b(?:from|into|update|join)\s+(?:only\s+)?"?([\w.]+)/i

/** What a fingerprint does and to which table first, such as `select users`: few, for a metric's label. */
export const classOf = (form: string): string => {
  const [, does = "other"] = verb.exec(form) ?? []
  const [, table] = relation.exec(form) ?? []
  return table === undefined ? does.toLowerCase() : `${does.toLowerCase()} ${table.toLowerCase()}`
}
