import { unspaced, type Word, wordsOf } from "./Words.ts"

/** Texts that a message holds, and that it must not hold. */
export interface Alternative {
  readonly wanted: ReadonlyArray<string>
  readonly unwanted: ReadonlyArray<string>
}

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
  /**
   * Where a script leaves no space between words, which Postgres then takes for one: the parts that a message holds,
   * whatever is around them, those of any one alternative. Null for what is in words already, and above `partsMax`.
   */
  readonly held: ReadonlyArray<Alternative> | null
}

/** Parts that are looked for in every message of the asker; a text of more is found by its words, or as it stands. */
export const partsMax = 32

/** Postgres keeps this many places of a word in a text; longer phrases than that cannot be told from their words. */
export const phraseWordsMax = 255

/** From the first word to the last. */
const span = (text: string, words: ReadonlyArray<Word>): string => {
  const last = words.at(-1)
  return last === undefined ? "" : text.slice(words[0]!.index, last.index + last.text.length)
}

const partsOf = ({ unwanted, wanted }: Alternative): number => wanted.length + unwanted.length

/** An optional minus and a quoted part, or anything up to the next space. */
const part = /(-?)"([^"]*)(?:"|$)|(\S+)/gu

/**
 * Reads a search the way web searches are read. Whatever the text holds, what comes out has no syntax but ours, so that
 * no text is an error.
 */
export const read = (text: string): Asked => {
  const web: Array<string> = []
  const marked = new Set<string>()
  const alternatives = [{ wanted: [] as Array<string>, unwanted: [] as Array<string> }]
  let asks = false
  for (const match of text.matchAll(part)) {
    const bare = match[3]
    if (bare !== undefined && bare.toLowerCase() === "or") {
      web.push("or")
      alternatives.push({ wanted: [], unwanted: [] })
      continue
    }
    const said = bare ?? match[2] ?? ""
    const found = wordsOf(said)
    if (found.length === 0) continue
    const words = found.map((one) => one.text)
    const excluded = bare === undefined ? match[1] === "-" : bare.startsWith("-") && bare.length > 1
    alternatives.at(-1)![excluded ? "unwanted" : "wanted"].push(span(said, found))
    web.push(`${excluded ? "-" : ""}"${words.join(" ")}"`)
    if (excluded) continue
    asks = true
    for (const one of words) marked.add(one.toLowerCase())
  }
  const all = wordsOf(text)
  const words = all.map((one) => one.text)
  // Only exclusions would ask for everything else; then the words themselves are meant.
  if (!asks) for (const one of words) marked.add(one.toLowerCase())
  const meant = asks ? alternatives.filter((one) => partsOf(one) > 0) : [{ wanted: [span(text, all)], unwanted: [] }]
  const parts = meant.reduce((sum, one) => sum + partsOf(one), 0)
  const held = words.some((one) => unspaced.test(one)) && parts <= partsMax ? meant : null
  const literal = /^".+"$/s.test(text) ? text.slice(1, -1) : text
  return { web: asks ? web.join(" ") : `"${words.join(" ")}"`, words, literal, marked, held }
}
