import { expect } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { homoglyphs } from "../../src/moderation/homoglyphs.ts"
import { normalise } from "../../src/moderation/Normalise.ts"
import * as Rules from "../../src/moderation/Rules.ts"
import * as lists from "../../src/moderation/words.ts"
import { it } from "../kit/effect.ts"

const order: ReadonlyArray<Rules.Verdict> = ["ALLOW", "FLAG", "HOLD", "REJECT"]
const rank = (verdict: Rules.Verdict): number => order.indexOf(verdict)

const conversations = process.env["CONVERSATIONS"] ?? "../shared/data/conversations.jsonl"

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.string({ unit: "grapheme", maxLength: 200 }),
  fc
    .array(fc.constantFrom(..."abeginost 013@$!.-_*éжα\u200b\u0301".split("")), { maxLength: 80 })
    .map((all) => all.join(""))
)

const glyphs = new Map<string, Array<string>>()
for (const [glyph, letter] of homoglyphs) glyphs.set(letter, [...(glyphs.get(letter) ?? []), glyph])
const leet: Readonly<Record<string, string>> = {
  a: "4@",
  b: "8",
  e: "3",
  g: "9",
  i: "1!|",
  l: "1|",
  o: "0",
  s: "5$",
  t: "7+"
}

/** A word as people disguise it: case, look-alikes, digits, repeats and invisible characters letter by letter, then gaps. */
const disguised = (word: string) =>
  fc
    .tuple(
      fc.array(fc.tuple(fc.nat(5), fc.nat(1_000)), { minLength: word.length, maxLength: word.length }),
      fc.constantFrom("", "", "", ".", "-", "_", " ", " . ", "\u200b", "\u00ad")
    )
    .map(([how, gap]) => {
      const letters = Array.from(word, (letter, at) => {
        const [kind, pick] = how[at]!
        const from = (choices: ReadonlyArray<string>) => choices[pick % choices.length] ?? letter
        if (kind === 1) return letter.toUpperCase()
        if (kind === 2) return from(glyphs.get(letter) ?? [])
        // A word of signs alone is no word: the first letter stays one.
        if (kind === 3 && at > 0) return from((leet[letter] ?? "").split(""))
        if (kind === 4) return letter.repeat(1 + (pick % 4))
        if (kind === 5) return `${letter}\u200d`
        return letter
      })
      return letters.join(gap)
    })

const listed = [...lists.slurs, ...lists.ambiguous, ...lists.profanity].filter((word) => /^[a-z]{3,}$/.test(word))

it("normalising twice changes nothing", () =>
  Effect.sync(() =>
    fc.assert(
      fc.property(text, (some) => normalise(normalise(some)) === normalise(some)),
      { numRuns: 500 }
    )
  ))

it("a listed word is found under any disguise, alone and within a sentence", () =>
  Effect.sync(() =>
    fc.assert(
      fc.property(
        fc.constantFrom(...listed).chain((word) => fc.tuple(fc.constant(word), disguised(word))),
        ([word, shown]) => {
          for (const said of [shown, `well, ${shown}! what`, `(${shown})`])
            expect([word, said, Rules.judge(said).verdict !== "ALLOW"]).toEqual([word, said, true])
        }
      ),
      { numRuns: 500 }
    )
  ))

it("a word that only contains a listed one is none", () =>
  Effect.sync(() => {
    const innocent =
      "Scunthorpe assassin classic grass bassoon cockatoo peacock dickens Dickinson shiitake cumin Essex analysis " +
      "therapist snigger niggardly Niger Nigeria raccoon tycoon spicy conspicuous despicable chinkapin hoedown canal " +
      "Pakistan flag flags homogeneous Japan japes retardant button basement Matsushita hello a b c 45-55 million as ss9000"
    for (const word of innocent.split(" ")) expect([word, Rules.judge(word).verdict]).toEqual([word, "ALLOW"])
    expect(Rules.judge(innocent).verdict).toBe("ALLOW")
  }))

it("a harmless phrase is not found, and does not excuse what stands beside it", () =>
  Effect.sync(() => {
    for (const phrase of lists.harmless)
      expect([phrase, Rules.judge(`so ${phrase} it is`).verdict]).toEqual([phrase, "ALLOW"])
    for (const phrase of ["Tak for i dag, kys og kram", "Kys mig!", "a white power supply", "faggots and peas"])
      expect([phrase, Rules.judge(phrase).verdict]).toEqual([phrase, "ALLOW"])
    expect(Rules.judge("kys").verdict).toBe("HOLD")
    expect(Rules.judge("moby dick is a fucking long book").verdict).toBe("FLAG")
  }))

it("profanity passes, slurs wait for a person, attacks and calls for violence are refused", () =>
  Effect.sync(() => {
    expect(Rules.judge("What the fuck, that was great").verdict).toBe("FLAG")
    expect(Rules.judge("he called me a faggot at school").verdict).toBe("HOLD")
    expect(Rules.judge("go kill yourself").verdict).toBe("HOLD")
    expect(Rules.judge("shut up you k1ke")).toEqual({ verdict: "REJECT", rule: "directed_slur" })
    expect(Rules.judge("we should g a s all the jews")).toEqual({ verdict: "REJECT", rule: "violence" })
    expect(Rules.judge("I hate muslims")).toEqual({ verdict: "HOLD", rule: "contempt" })
    expect(Rules.judge("we should gas all the jews")).toEqual({ verdict: "REJECT", rule: "violence" })
    expect(Rules.judge("the blacks in this picture are very deep").verdict).toBe("ALLOW")
    expect(Rules.judge("")).toEqual({ verdict: "ALLOW" })
  }))

it("one more rule never loosens a verdict, and the order of the rules does not matter", () =>
  Effect.sync(() => {
    const word = fc.constantFrom("red", "green", "blue", "dog", "cat", "walks")
    const rule = fc.record({
      name: fc.string({ unit: fc.constantFrom(..."abcdef"), minLength: 1, maxLength: 3 }),
      verdict: fc.constantFrom("FLAG" as const, "HOLD" as const, "REJECT" as const),
      sequence: fc.array(fc.record({ phrases: fc.array(word, { minLength: 1, maxLength: 2 }) }), {
        minLength: 1,
        maxLength: 2
      })
    })
    const said = fc.array(word, { maxLength: 6 }).map((words) => words.join(" "))
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 5 }), rule, said, (rules, extra, sentence) => {
        const before = Rules.make(rules)(sentence)
        const after = Rules.make([...rules, extra])(sentence)
        expect(rank(after.verdict)).toBeGreaterThanOrEqual(rank(before.verdict))
        expect(Rules.make(rules.toReversed())(sentence)).toEqual(before)
      }),
      { numRuns: 100 }
    )
  }))

it("a judgement never holds the text", () =>
  Effect.sync(() =>
    fc.assert(
      fc.property(text, (some) => {
        const { rule } = Rules.judge(some)
        expect(rule === undefined || Rules.rules.some(({ name }) => name === rule)).toBe(true)
      })
    )
  ))

it("4,000 characters with 5,000 words take less than a millisecond", () =>
  Effect.sync(() => {
    let seed = 1
    const letter = () => String.fromCharCode(97 + ((seed = (seed * 48_271) % 2_147_483_647) % 26))
    const random = Array.from({ length: 5_000 }, (_, n) => Array.from({ length: 4 + (n % 7) }, letter).join(""))
    const judge = Rules.make(
      [...Rules.rules, { name: "made_up", verdict: "FLAG", sequence: [{ phrases: random }] }],
      lists.harmless
    )
    const sentence = "The quick brown fox (a.k.a. you & me) jumps over all the lazy dogs @ 10 o'clock; a b c! "
    const long = sentence.repeat(50).slice(0, 4_000)
    const millis = Array.from({ length: 60 }, () => {
      const start = performance.now()
      judge(long)
      return performance.now() - start
    }).toSorted((a, b) => a - b)
    // The fastest run is what the work itself costs, whatever else the machine does meanwhile.
    expect(millis[0]!).toBeLessThan(1)
  }))

it("real conversations pass", () =>
  Effect.sync(() => {
    const sample = [
      "Did you know that Philip K. Dick wrote the story behind Blade Runner?",
      "My grandmother's Maine coon weighs 20 lbs, lol!!",
      "I love the 1990s Dr. Dre & Snoop Dogg albums... so good",
      "LeBron is 6'9\"; he could dunk at 14!",
      "Have you been to Niger or Nigeria? I hear it is hot"
    ]
    const texts = existsSync(conversations)
      ? readFileSync(conversations, "utf8")
          .trim()
          .split("\n")
          .flatMap((line) =>
            (JSON.parse(line) as { messages: ReadonlyArray<{ text: string }> }).messages.map((m) => m.text)
          )
      : sample
    const judged = texts.map((said) => [said, rank(Rules.judge(said).verdict)] as const)
    expect(judged.filter(([, verdict]) => verdict >= rank("HOLD"))).toEqual([])
    const flagged = judged.filter(([, verdict]) => verdict === rank("FLAG"))
    expect(flagged.length / texts.length).toBeLessThan(0.005)
  }))
