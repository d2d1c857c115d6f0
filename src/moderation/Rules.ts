import * as Automaton from "./Automaton.ts"
import { normalise } from "./Normalise.ts"
import * as Reading from "./Reading.ts"
import * as lists from "./words.ts"

/** What becomes of a text, from harmless to refused. HOLD waits for a person; FLAG passes and is counted. */
export type Verdict = "ALLOW" | "FLAG" | "HOLD" | "REJECT"

/** `rule` names the rule that decided, never the word; absent for ALLOW. */
export interface Judgement {
  readonly verdict: Verdict
  readonly rule?: string
}

/** Words or phrases of one sense. `plural`: with -s, -es or -z too. */
export interface Words {
  readonly phrases: ReadonlyArray<string>
  readonly plural?: boolean
}

/** Texts in which words of these senses follow one another get the verdict. */
export interface Rule {
  readonly name: string
  readonly verdict: Exclude<Verdict, "ALLOW">
  readonly sequence: ReadonlyArray<Words>
}

const order: ReadonlyArray<Verdict> = ["ALLOW", "FLAG", "HOLD", "REJECT"]
const rank = (verdict: Verdict): number => order.indexOf(verdict)

/** `f*ck`, `f**k`: a word's vowels one by one and all together behind a mask. */
const masked = (phrase: string): ReadonlyArray<string> => {
  const vowels = Array.from(phrase.matchAll(/(?<=[a-z])[aeiou](?=[a-z])/g), (match) => match.index)
  const hide = (hidden: ReadonlyArray<number>) =>
    Array.from(phrase, (letter, at) => (hidden.includes(at) ? "*" : letter)).join("")
  return phrase.includes(" ") || vowels.length === 0 ? [] : [hide(vowels), ...vowels.map((at) => hide([at]))]
}

const plurals = (word: string): ReadonlyArray<string> =>
  /[sxzho]$/.test(word) ? [`${word}es`, `${word}s`, `${word}z`] : [`${word}s`, `${word}z`]

const spellings = (words: Words): ReadonlyArray<string> =>
  words.phrases.flatMap((phrase) =>
    [phrase, ...(words.plural === true ? plurals(phrase) : [])].flatMap((form) => [form, ...masked(form)])
  )

const pattern = <A>(phrase: string, value: A): Automaton.Pattern<A> => {
  const { classes, counts, length } = Reading.words(normalise(phrase))
  return { letters: [...classes.subarray(0, length)], least: [...counts.subarray(0, length)], value }
}

/** Where words were found: the indexes of the first and last run of a reading. */
interface Span {
  readonly first: number
  readonly last: number
}

type Hits = ReadonlyMap<Words, ReadonlyArray<Span>>

const none: ReadonlyArray<Span> = []

/** Whether spans of the sequence follow one another, with nothing but one gap between. */
const follows = (sequence: ReadonlyArray<Words>, hits: Hits): boolean => {
  let ends: ReadonlySet<number> | undefined
  for (const words of sequence) {
    const spans = (hits.get(words) ?? none).filter((span) => ends === undefined || ends.has(span.first - 2))
    if (spans.length === 0) return false
    ends = new Set(spans.map((span) => span.last))
  }
  return true
}

/**
 * Judges texts by these rules: the strictest verdict of all rules that find something, so that one more rule never
 * loosens a verdict and their order does not matter. What ends inside a phrase of `harmless` is not found.
 */
export const make = (
  rules: ReadonlyArray<Rule>,
  harmless: ReadonlyArray<string> = []
): ((text: string) => Judgement) => {
  const safe: Words = { phrases: harmless }
  const automaton = Automaton.make(
    [safe, ...new Set(rules.flatMap((rule) => rule.sequence))].flatMap((words) =>
      (words === safe ? harmless : spellings(words)).map((phrase) => pattern(phrase, words))
    )
  )
  /** The strictest first; of equally strict ones the name that sorts first is told, whatever their order. */
  const strictest = [...rules].sort((a, b) => rank(b.verdict) - rank(a.verdict) || (a.name < b.name ? -1 : 1))

  const find = (reading: Reading.Reading): Hits => {
    const hits = new Map<Words, Array<Span>>()
    automaton.scan(reading.classes, reading.counts, reading.length, ({ value }, first, last) => {
      if (!Reading.isWhole(reading, first, last)) return
      const spans = hits.get(value)
      if (spans === undefined) hits.set(value, [{ first, last }])
      else spans.push({ first, last })
    })
    const spared = hits.get(safe)
    if (spared === undefined) return hits
    const isSpared = (hit: Span) => spared.some((span) => span.first <= hit.last && hit.last <= span.last)
    return new Map([...hits].map(([words, spans]) => [words, spans.filter((span) => !isSpared(span))]))
  }

  return (text) => {
    const found = Reading.all(normalise(text)).map(find)
    const worst = strictest.find((rule) => found.some((hits) => hits.size > 0 && follows(rule.sequence, hits)))
    return worst === undefined ? allowed : { verdict: worst.verdict, rule: worst.name }
  }
}

const allowed: Judgement = { verdict: "ALLOW" }

const slurs: Words = { phrases: lists.slurs, plural: true }
const ambiguous: Words = { phrases: lists.ambiguous, plural: true }
const attacks: Words = { phrases: lists.attacks }
const groups: Words = { phrases: lists.groups }

/** The rules in force. */
export const rules: ReadonlyArray<Rule> = [
  { name: "profanity", verdict: "FLAG", sequence: [{ phrases: lists.profanity, plural: true }] },
  { name: "ambiguous_slur", verdict: "FLAG", sequence: [ambiguous] },
  { name: "slur", verdict: "HOLD", sequence: [slurs] },
  { name: "directed_insult", verdict: "HOLD", sequence: [attacks, ambiguous] },
  { name: "contempt", verdict: "HOLD", sequence: [{ phrases: lists.contempt }, groups] },
  { name: "slogan", verdict: "HOLD", sequence: [{ phrases: lists.slogans }] },
  { name: "self_harm", verdict: "HOLD", sequence: [{ phrases: lists.selfHarm }] },
  { name: "directed_slur", verdict: "REJECT", sequence: [attacks, slurs] },
  {
    name: "violence",
    verdict: "REJECT",
    sequence: [{ phrases: lists.violence }, { phrases: lists.everyone }, groups]
  }
]

/** The word of the rules in force on a text. Pure; 4,000 characters take well under a millisecond. */
export const judge: (text: string) => Judgement = make(rules, lists.harmless)
