import { gap, mask, other } from "./Automaton.ts"

/**
 * A text as runs of one letter: classes, how often each is repeated, and whether a word may begin at a run or end with
 * it. Digits and signs that stand for letters (0 for o, $ for s) are read as them, and still separate words as well.
 */
export interface Reading {
  readonly classes: Uint8Array
  readonly counts: Uint16Array
  readonly starts: Uint8Array
  readonly ends: Uint8Array
  /** Runs that have a real letter: digits and signs alone spell nothing. */
  readonly letters: Uint8Array
  readonly length: number
}

const letter = (text: string): number => text.charCodeAt(0) - 96

/** By character code: the class, with `soft` added for what is a letter only by its looks. */
const soft = 64
const table = new Uint8Array(128)
for (let code = 97; code <= 122; code++) table[code] = code - 96
// 1, ! and | stand for both i and l, so the two are one class.
table[108] = letter("i")
for (const [sign, alike] of Object.entries({
  "0": "o",
  "1": "i",
  "3": "e",
  "4": "a",
  "5": "s",
  "7": "t",
  "8": "b",
  "9": "g",
  "@": "a",
  $: "s",
  "!": "i",
  "|": "i",
  "+": "t",
  "(": "c"
}))
  table[sign.charCodeAt(0)] = letter(alike) | soft
for (const digit of "26") table[digit.charCodeAt(0)] = other | soft
table["*".charCodeAt(0)] = mask | soft

/** Beyond ASCII, punctuation, symbols and emoji separate words; everything else is a letter that no list has. */
const isSymbol = (code: number): boolean =>
  code < 0xc0 ||
  (code >= 0x2000 && code < 0x2c00) ||
  (code >= 0x3000 && code < 0x3040) ||
  (code >= 0xd800 && code < 0xe000)

const classOf = (code: number): number => (code < 128 ? table[code]! : isSymbol(code) ? gap : other)

const isSpace = (code: number): boolean => code === 32 || (code >= 9 && code <= 13) || code === 0xa0 || code === 0x3000

class Builder implements Reading {
  readonly classes: Uint8Array
  readonly counts: Uint16Array
  readonly starts: Uint8Array
  readonly ends: Uint8Array
  readonly letters: Uint8Array
  length = 0

  constructor(capacity: number) {
    this.classes = new Uint8Array(capacity)
    this.counts = new Uint16Array(capacity)
    this.starts = new Uint8Array(capacity)
    this.ends = new Uint8Array(capacity)
    this.letters = new Uint8Array(capacity)
  }

  /** Adds one character; `starts` and `ends` say whether a word may begin or end with it. */
  add(found: number, starts: boolean, ends: boolean): void {
    const cls = found & ~soft
    const last = this.length - 1
    if (last >= 0 && this.classes[last] === cls) {
      if (this.counts[last]! < 0xffff) this.counts[last]!++
      this.ends[last] = ends ? 1 : 0
      if (found < soft) this.letters[last] = 1
      return
    }
    this.classes[this.length] = cls
    this.counts[this.length] = 1
    this.starts[this.length] = starts ? 1 : 0
    this.ends[this.length] = ends ? 1 : 0
    this.letters[this.length] = found < soft && found !== gap ? 1 : 0
    this.length++
  }
}

/** Word by word: anything that is no letter separates. */
export const words = (text: string): Reading => {
  const read = new Builder(text.length)
  let before = soft
  for (let at = 0; at < text.length; at++) {
    const found = classOf(text.charCodeAt(at))
    const next = at + 1 < text.length ? classOf(text.charCodeAt(at + 1)) : gap
    const breaksBefore = before === gap || before >= soft
    const breaksAfter = next === gap || next >= soft
    read.add(found, breaksBefore || found >= soft, breaksAfter || found >= soft)
    before = found
  }
  return read
}

/** Letters (with signs, characters) of one chunk that still count as spelled out, and the least chunks of such a word. */
const spelledLettersMax = 2
const spelledCharactersMax = 6
const spelledChunksMin = 3

interface Chunk {
  readonly from: number
  readonly to: number
  /** Characters that are read as letters. */
  readonly letters: number
  /** Whether they are few enough, or all the same, to be one letter of a word that is spelled out. */
  readonly spells: boolean
  /** Whether something separates two of them. */
  readonly broken: boolean
}

const chunks = (text: string): ReadonlyArray<Chunk> => {
  const all: Array<Chunk> = []
  let from = 0
  for (let at = 0; at <= text.length; at++) {
    if (at < text.length && !isSpace(text.charCodeAt(at))) continue
    let letters = 0
    let parts = 0
    let clear = 0
    let runs = 0
    let lastClear: number = gap
    let before: number = gap
    for (let inside = from; inside < at; inside++) {
      const found = classOf(text.charCodeAt(inside))
      if (found !== gap) letters++
      if (found !== gap && before === gap) parts++
      if (found !== gap && found < soft) {
        clear++
        if (found !== lastClear) runs++
        lastClear = found
      }
      before = found
    }
    const spells = letters <= spelledCharactersMax && (clear <= spelledLettersMax || runs === 1)
    if (letters > 0) all.push({ from, to: at, letters, spells, broken: parts > 1 })
    from = at + 1
  }
  return all
}

/** The letters of a chunk in a row. Signs at its edges may be letters or not, as in whole texts. */
const addChunk = (read: Builder, text: string, chunk: Chunk): void => {
  let left = chunk.letters
  let before = soft
  for (let at = chunk.from; at < chunk.to; at++) {
    const found = classOf(text.charCodeAt(at))
    if (found === gap) continue
    left--
    const next = left === 0 ? soft : classOf(text.charCodeAt(at + 1))
    read.add(found, before >= soft || found >= soft, next >= soft || found >= soft)
    before = found
  }
}

/**
 * What is written with separators inside (`a.b-c`) read without them, and what is spelled out (`a b c`) as one word.
 * Nothing when the text has neither.
 */
const joined = (text: string): Reading | undefined => {
  const all = chunks(text)
  const read = new Builder(text.length + all.length * 2)
  let differs = false
  for (let at = 0; at < all.length;) {
    let run = 0
    while (at + run < all.length && all[at + run]!.spells) run++
    const spelled = run >= spelledChunksMin
    const until = at + (spelled ? run : 1)
    read.add(gap, true, true)
    differs ||= spelled || all[at]!.broken
    for (; at < until; at++) addChunk(read, text, all[at]!)
  }
  return differs ? read : undefined
}

/** Every way in which a normalised text may be meant to be read. */
export const all = (text: string): ReadonlyArray<Reading> => {
  const other = joined(text)
  return other === undefined ? [words(text)] : [words(text), other]
}

/** Whether the runs from `first` to `last` are whole words with a real letter among them. */
export const isWhole = (reading: Reading, first: number, last: number): boolean => {
  if (reading.starts[first] === 0 || reading.ends[last] === 0) return false
  for (let at = first; at <= last; at++) if (reading.letters[at] === 1) return true
  return false
}
