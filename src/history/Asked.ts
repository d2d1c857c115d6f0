import { wordsOf } from "./Words.ts"

/** A search as it goes to Postgres. */
export interface Asked {
  /** For `websearch_to_tsquery`: words and quoted phrases, `or` and `-` as the asker meant them. */
  readonly web: string
  /** All words in the order in which they came, operators as words. */
  readonly words: ReadonlyArray<string>
  /** The text as it stands, without quotes around it: whoever pastes a message, minus signs and all, finds that message. */
  readonly literal: string
  /** Words to mark, in lower case: all but those that were excluded. */
  readonly marked: ReadonlySet<string>
}

/** Postgres keeps this many places of a word in a text; longer phrases than that cannot be told from their words. */
export const phraseWordsMax = 255

/** An optional minus and a quoted part, or anything up to the next space. */
const part = /(-?)"([^"]*)(?:"|$)|(\S+)/gu

/**
 * Reads a search the way web searches are read. Whatever the text holds, what comes out has no syntax but ours, so that
 * no text is an error.
 */
export const read = (text: string): Asked => {
  const parts: Array<string> = []
  const marked = new Set<string>()
  let asks = false
  for (const match of text.matchAll(part)) {
    const bare = match[3]
    if (bare !== undefined && bare.toLowerCase() === "or") {
      parts.push("or")
      continue
    }
    const words = wordsOf(bare ?? match[2] ?? "").map((found) => found.text)
    if (words.length === 0) continue
    const excluded = bare === undefined ? match[1] === "-" : bare.startsWith("-") && bare.length > 1
    parts.push(`${excluded ? "-" : ""}"${words.join(" ")}"`)
    if (excluded) continue
    asks = true
    for (const found of words) marked.add(found.toLowerCase())
  }
  const words = wordsOf(text).map((found) => found.text)
  // Only exclusions would ask for everything else; then the words themselves are meant.
  if (!asks) for (const found of words) marked.add(found.toLowerCase())
  const literal = /^".+"$/s.test(text) ? text.slice(1, -1) : text
  return { web: asks ? parts.join(" ") : `"${words.join(" ")}"`, words, literal, marked }
}
