import { unspaced, type Word, wordsOf } from "./Words.ts"

/** Words of a snippet at most, or pieces of eight letters where words are written without spaces. */
export const snippetWordsMax = 32

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
}

/** Text as it may stand in HTML, in an attribute too. */
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (char) => escapes[char]!)

interface Span {
  readonly from: number
  readonly to: number
}

interface Piece extends Span {
  readonly hit: boolean
}

/** Up to eight letters with their marks: how a word of a script without spaces is cut. */
const piece = /(?:\P{M}\p{M}*){1,8}|\p{M}+/gu

/** The word in pieces, each of what `inside` matches being one. */
const pieces = ({ index, text }: Word, inside: RegExp): ReadonlyArray<Piece> => {
  const found: Array<Piece> = []
  const rest = (from: number, to: number) => {
    for (const { 0: cut, index: at } of text.slice(from, to).matchAll(piece))
      found.push({ from: index + from + at, to: index + from + at + cut.length, hit: false })
  }
  let at = 0
  for (const { 0: asked, index: from } of text.matchAll(inside)) {
    rest(at, from)
    at = from + asked.length
    found.push({ from: index + from, to: index + at, hit: true })
  }
  rest(at, text.length)
  return found
}

/** What is counted and marked: the words, and pieces of those that are written without spaces. */
const split = (body: string, marked: ReadonlySet<string>): ReadonlyArray<Piece> => {
  const within = [...marked].filter((word) => unspaced.test(word)).sort((a, b) => b.length - a.length)
  // A word has no sign that means something to a RegExp: those are separators. Without words it matches nothing.
  const inside = new RegExp(within.length === 0 ? "(?!)" : within.join("|"), "giu")
  return wordsOf(body).flatMap((word) =>
    unspaced.test(word.text)
      ? pieces(word, inside)
      : [{ from: word.index, to: word.index + word.text.length, hit: marked.has(word.text.toLowerCase()) }]
  )
}

/** Where the window of words with the most hits begins. */
const densest = (hits: ReadonlyArray<Piece>): number => {
  let best = 0
  let most = -1
  let inside = 0
  for (let end = 0; end < hits.length; end++) {
    if (hits[end]!.hit) inside++
    const start = end - snippetWordsMax + 1
    if (start > 0 && hits[start - 1]!.hit) inside--
    if (inside > most) {
      most = inside
      best = Math.max(0, start)
    }
  }
  return best
}

const render = (body: string, window: Span, marks: ReadonlyArray<Span>): string => {
  let html = window.from > 0 ? "… " : ""
  let at = window.from
  for (const { from, to } of marks) {
    html += `${escapeHtml(body.slice(at, from))}<mark>${escapeHtml(body.slice(from, to))}</mark>`
    at = to
  }
  return html + escapeHtml(body.slice(at, window.to)) + (window.to < body.length ? " …" : "")
}

/**
 * The part of the body with the most words of `marked` (lower case), HTML-escaped, those words in `<mark>`. A body
 * without such words is shown from its start, and `literal` is marked in it.
 */
export const snippet = (body: string, marked: ReadonlySet<string>, literal: string): string => {
  const words = split(body, marked)
  const start = densest(words)
  const shown = words.slice(start, start + snippetWordsMax)
  const last = shown.at(-1)
  const whole = words.length <= snippetWordsMax || last === undefined
  const window = whole ? { from: 0, to: body.length } : { from: start === 0 ? 0 : shown[0]!.from, to: last.to }
  const marks = shown.filter(({ hit }) => hit)
  if (marks.length > 0) return render(body, window, marks)
  const found = body.indexOf(literal)
  return found >= window.from && literal !== "" && found + literal.length <= window.to
    ? render(body, window, [{ from: found, to: found + literal.length }])
    : render(body, window, [])
}
