import { expect, test } from "bun:test"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { Interest } from "../../src/domain/Profile.ts"

const decode = Schema.decodeUnknownEither(Interest)
const accepted = (interest: string): boolean => Either.isRight(decode(interest))

test("an interest is a slug of any script, vowel signs and length marks among its letters", () => {
  const words = [
    "chess",
    "board-games",
    "90s-music",
    "café",
    "сноуборд",
    "サッカー",
    "टेबल-टेनिस",
    "ฟุตบอล",
    "كرة-القدم",
    "축구"
  ]
  expect(words.filter((word) => !accepted(word))).toEqual([])
})

test("an interest that two people would write in two ways is refused: capitals, spaces, accents apart from their letters", () => {
  const words = [
    "Chess",
    "board games",
    "-chess",
    "chess-",
    "board--games",
    "cafe\u0301",
    "\u0301e",
    "a\u0323".repeat(9),
    ""
  ]
  expect(words.filter(accepted)).toEqual([])
})

test("an interest has the joiners that its script is spelled with, and no others", () => {
  for (const word of ["ශ්‍රී-ලංකා", "کتاب‌خوانی", "क्‍ष"]) expect([word, accepted(word)]).toEqual([word, true])
  for (const word of ["che\u200css", "che\u200dss", "ش\u200d", "کتاب\u200c", "க்\u200d\u200dஷ", "\u200cک"])
    expect([word, accepted(word)]).toEqual([word, false])
})

test("an interest has at most 50 characters and few marks on each letter", () => {
  expect(accepted("a".repeat(50))).toBe(true)
  expect(accepted("a".repeat(51))).toBe(false)
  expect(accepted(`ก${"\u0e49".repeat(8)}`)).toBe(true)
  expect(accepted(`ก${"\u0e49".repeat(9)}`)).toBe(false)
})

test("whoever writes an interest in another way is shown one", () => {
  expect(String(Either.getOrUndefined(Either.flip(decode("Board Games"))))).toContain("such as board-games")
  expect(String(Either.getOrUndefined(Either.flip(decode("cafe\u0301"))))).toContain("composed form, NFC")
})
