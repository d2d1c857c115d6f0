import { wordsOf } from "./Words.ts"

/** Words of a snippet at most. */
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

/** Where the window of words with the most hits begins. */
const densest = (hits: ReadonlyArray<boolean>): number => {
  let best = 0
  let most = -1
  let inside = 0
  for (let end = 0; end < hits.length; end++) {
    if (hits[end]) inside++
    const start = end - snippetWordsMax + 1
    if (start > 0 && hits[start - 1]) inside--
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
  const words = wordsOf(body)
  const hits = words.map(({ text }) => marked.has(text.toLowerCase()))
  const start = densest(hits)
  const shown = words.slice(start, start + snippetWordsMax)
  const last = shown.at(-1)
  const whole = words.length <= snippetWordsMax || last === undefined
  const window = whole
    ? { from: 0, to: body.length }
    : { from: start === 0 ? 0 : shown[0]!.index, to: last.index + last.text.length }
  const marks = shown.flatMap(({ index, text }, n) =>
    hits[start + n] ? [{ from: index, to: index + text.length }] : []
  )
  if (marks.length > 0) return render(body, window, marks)
  const found = body.indexOf(literal)
  return found >= window.from && literal !== "" && found + literal.length <= window.to
    ? render(body, window, [{ from: found, to: found + literal.length }])
    : render(body, window, [])
}
