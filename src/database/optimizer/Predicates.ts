/** A condition on one table, as a plan's filter names it: `left operator right`. */
export interface Clause {
  readonly left: string
  readonly operator: string
  /** A value: a placeholder, a literal, `ANY (…)`. Empty for `IS NULL` and the like. */
  readonly right: string
  /** The value is always this one. */
  readonly isConstant?: true
}

/** The position behind the bracket that closes the one at `start`. */
const closing = (text: string, start: number): number => {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const sign = text.charAt(at)
    if (sign === "'" || sign === '"') at = text.indexOf(sign, at + 1)
    if (at < 0) return text.length
    if (sign === "(" || sign === "[") depth++
    if ((sign === ")" || sign === "]") && --depth === 0) return at + 1
  }
  return text.length
}

/** Without the brackets around the whole. */
const bare = (text: string): string =>
  text.startsWith("(") && closing(text, 0) === text.length ? bare(text.slice(1, -1).trim()) : text

/** The parts of the text between `separator` where it stands outside of brackets and quotes. */
const split = (text: string, separator: RegExp): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let from = 0
  let at = 0
  while (at < text.length) {
    const sign = text.charAt(at)
    if (sign === "(") at = closing(text, at)
    else if (sign === "'" || sign === '"') at = text.indexOf(sign, at + 1) + 1 || text.length
    else {
      separator.lastIndex = at
      const found = separator.exec(text)
      if (found === null) at++
      else {
        parts.push(text.slice(from, at))
        at = from = separator.lastIndex
        if (found[1] !== undefined) parts.push(found[1])
      }
    }
  }
  return [...parts, text.slice(from)]
}

const operators = / (=|<>|<=|>=|<|>|~~\*|~~|!~~|~\*|~|@>|<@|&&|@@|IS NOT NULL|IS NULL)(?= |$) ?/y
const value = /^\(*(?:\$\d+|'(?:[^']|'')*'|-?\d|ANY \(|ARRAY\[|\w*to_tsquery\(|true|false|now\(\))/
const relabelled = /^\(([a-z_][\w$]*|"[^"]+")\)::(?:text|character varying|bpchar)$/

/** `(email)::text` is the column itself; what is no column and no call needs brackets in an index. */
const expression = (text: string): string => {
  const inner = bare(text.trim())
  const plain = relabelled.exec(inner)?.[1] ?? inner
  return /^(?:[a-z_][\w$]*|"[^"]+")(?:\(.*\))?$/s.test(plain) ? plain : `(${plain})`
}

const clauseOf = (text: string): Clause | undefined => {
  const inner = bare(text.trim())
  const [left, operator, right = ""] = split(inner, operators)
  // A column by itself, or NOT one: a condition on a boolean.
  if (operator === undefined) {
    if (/^[a-z_]\w*$/.test(inner)) return { left: inner, operator: "=", right: "true" }
    return /^NOT [a-z_]\w*$/.test(inner) ? { left: inner.slice(4), operator: "=", right: "false" } : undefined
  }
  const isValue = operator.startsWith("IS ") ? right === "" : value.test(right)
  return left !== undefined && isValue && /[a-z_]/i.test(left) && !left.includes("$")
    ? { left: expression(left), operator, right }
    : undefined
}

/** The same for predicates that say the same, whatever brackets and order they are written with; "" for none. */
export const normal = (predicate: string | null): string => {
  if (predicate === null) return ""
  const parts = split(bare(predicate), / AND /iy)
  return parts
    .map((part) => bare(part.trim()))
    .sort()
    .join(" and ")
}

/** Without the name of the table before its columns. `alias` is how the plan calls the table. */
export const unaliased = (text: string, alias: string | undefined): string => {
  if (alias === undefined) return text
  const name = alias.replace(/\W/g, "\\$&")
  return text.replace(new RegExp(`(?<![\\w$."'])(?:${name}|"${name}")\\.`, "g"), "")
}

/**
 * The conditions that rows of one table must all meet, from a plan's filter: `((state = $1) AND (email ~~ $2))`. What
 * compares with another table, or is an OR, is left out.
 */
export const clauses = (filter: string, alias: string | undefined): ReadonlyArray<Clause> => {
  return split(bare(unaliased(filter, alias)), / AND /y).flatMap((part) => {
    const clause = clauseOf(part)
    return clause === undefined ? [] : [clause]
  })
}
