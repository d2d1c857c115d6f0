/** Characters of a fingerprint at most; a longer statement is cut. */
export const fingerprintLengthMax = 1_000

/**
 * What may hold the signs of the others, as Postgres reads it, in the order in which it is tried. What is cut off reaches
 * to the end. No two ways lead through a token, so that a hostile one takes no longer than others.
 */
const tokens = {
  comment: /--[^\n\r]*/,
  block: /\/\*/,
  // With backslashes, also in what goes on after a new line.
  escaped: /[eE]'(?:[^'\\]|\\[\s\S]?|''|'(?:[ \t\f\v]*(?:--[^\n\r]*)?[\n\r])+[ \t\f\v]*')*(?:'|$)/,
  quoted: /(?:[bBnNxX]|[uU]&)?'(?:[^']|'')*(?:'|$)/,
  dollars: /\$(?<tag>(?:[a-zA-Z_\x80-\uffff][\w\x80-\uffff]*)?)\$[\s\S]*?(?:\$\k<tag>\$|$)/,
  parameter: /\$\d+/,
  number: /(?:(?<![\w"'$)\]\x80-\uffff])-)?\.?\d(?:[eE][+-]|[\w.])*/,
  name: /(?<name>[a-zA-Z_\x80-\uffff][\w$\x80-\uffff]*|"(?:[^"]|"")*")/,
  unclosed: /"[\s\S]*/
}

const token = new RegExp(
  Object.values(tokens)
    .map(({ source }) => source)
    .join("|"),
  "g"
)

/** Where the block comment ends whose inside begins at `start`; there may be others in it. */
const commentEnd = (sql: string, start: number): number => {
  const edge = /\/\*|\*\//g
  edge.lastIndex = start
  for (let depth = 1; depth > 0;) {
    const [found] = edge.exec(sql) ?? []
    if (found === undefined) return sql.length
    depth += found === "/*" ? 1 : -1
  }
  return edge.lastIndex
}

const withoutValues = (sql: string): string => {
  let form = ""
  let at = (token.lastIndex = 0)
  for (let found = token.exec(sql); found !== null; found = token.exec(sql)) {
    const [text] = found
    form += sql.slice(at, found.index) + (found.groups?.["name"] ?? (/^(?:--|\/\*)/.test(text) ? " " : "?"))
    if (text === "/*") token.lastIndex = commentEnd(sql, token.lastIndex)
    at = token.lastIndex
  }
  return form + sql.slice(at)
}

/** Whether it is one statement: what follows a `;` would run by itself where only the first is meant to be explained. */
export const isSingle = (sql: string): boolean => !/;\s*\S/.test(withoutValues(sql))

const list = /\(\s*\?(?:::[\w[\]]+)?(?:\s*,\s*\?(?:::[\w[\]]+)?)+\s*\)/g
const rows = /(\((?:\?|\?\+)\))(?:\s*,\s*\((?:\?|\?\+)\))+/g

/**
 * The statement without what differs from call to call: literals and parameters become `?`, lists of them `(?+)`, and
 * many rows of values one. Holds no value, so that it can be logged.
 */
export const fingerprint = (sql: string): string =>
  withoutValues(sql.slice(0, fingerprintLengthMax * 8))
    .replace(/\s+/g, " ")
    .replace(list, "(?+)")
    .replace(rows, "$1+")
    .trim()
    .slice(0, fingerprintLengthMax)

const text = /(?<name>"(?:[^"]|"")*")|'(?:[^']|'')*(?:'|$)/g
const number = /(?<name>"(?:[^"]|"")*")|(?<![\w$.\x80-\uffff]|Plan )-?\d[\w.]*/g

/**
 * A plan without the values that its statement was written with: they become `?`. The numbers of a line that has costs are
 * the planner's.
 */
export const scrubbed = (plan: string): string =>
  plan
    .replace(text, (_, name: string | undefined) => name ?? "?")
    .split("\n")
    .map((line) =>
      line.includes("(cost=") ? line : line.replace(number, (_, name: string | undefined) => name ?? "?")
    )
    .join("\n")

const verb = /^(\w+)/
const relation = /\b(?:from|into|update|join)\s+(?:only\s+)?"?([\w.]+)/i

/** What a fingerprint does and to which table first, such as `select users`: few, for a metric's label. */
export const classOf = (form: string): string => {
  const [, does = "other"] = verb.exec(form) ?? []
  const [, table] = relation.exec(form) ?? []
  return table === undefined ? does.toLowerCase() : `${does.toLowerCase()} ${table.toLowerCase()}`
}
