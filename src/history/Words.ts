/**
 * What separates words, as ranges of code points: punctuation, symbols and emoji. A list and not a Unicode property,
 * because Postgres has to split exactly alike, whatever its locale: `messages.search` is made with these ranges too.
 */
export const separatorRanges =
  "\\u0001-\\u002F\\u003A-\\u0040\\u005B-\\u0060\\u007B-\\u00A9\\u00AB-\\u00B1\\u00B4\\u00B6-\\u00B8\\u00BB\\u00BF\\u00D7\\u00F7" +
  "\\u055A-\\u055F\\u0589\\u058A\\u05BE\\u05C0\\u05C3\\u05F3\\u05F4\\u060C\\u061B\\u061F\\u066A-\\u066D\\u06D4\\u0964\\u0965" +
  "\\u2000-\\u206F\\u20A0-\\u20CF\\u2122\\u2190-\\u2BFF\\u3000-\\u3003\\u3008-\\u301F\\u3030\\u303D" +
  "\\uFE00-\\uFE1F\\uFE30-\\uFE6F\\uFF01-\\uFF0F\\uFF1A-\\uFF20\\uFF3B-\\uFF40\\uFF5B-\\uFF65\\uFFFC\\uFFFD"
/** Emoji and their tags, which need five digits. */
export const separatorPlanes: ReadonlyArray<readonly [from: string, to: string]> = [
  ["1F000", "1FAFF"],
  ["E0000", "E007F"]
]

const word = new RegExp(
  `[^${separatorRanges}${separatorPlanes.map(([from, to]) => `\\u{${from}}-\\u{${to}}`).join("")}]+`,
  "gu"
)

/** A word and where it stands in the text. */
export interface Word {
  readonly text: string
  readonly index: number
}

/** The words of a text, in order. */
export const wordsOf = (text: string): ReadonlyArray<Word> =>
  Array.from(text.matchAll(word), (match) => ({ text: match[0], index: match.index }))

/**
 * Letters of scripts that leave no space between words, and of Korean, which joins what we write apart: what is looked for
 * may stand anywhere between two separators.
 */
export const unspaced =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Hangul}]/u
