import { expect, test } from "bun:test"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { DisplayName, Language } from "../../src/domain/Profile.ts"
import { MessageBody } from "../../src/domain/Text.ts"

const refusal = <A>(schema: Schema.Schema<A, string>, text: string): string | undefined => {
  const refused = Either.flip(Schema.decodeUnknownEither(schema)(text))
  return Either.isRight(refused) ? ParseResult.ArrayFormatter.formatErrorSync(refused.right)[0]?.message : undefined
}

test("text of nothing that can be seen is blank", () => {
  for (const text of [" ", "\u200b", "\u2060\u200d", "\u3164", "\u2800", "\u00ad \ufe0f", "\u202e\u202c"]) {
    expect([text, refusal(MessageBody, text)]).toEqual([text, "is blank"])
    expect([text, refusal(DisplayName, text)]).toEqual([text, "is blank"])
  }
})

test("invisible characters are kept where something is seen", () => {
  for (const text of ["👩‍👩‍👧‍👦", "می‌خواهم", "ශ්‍රී", "❤️", "a\u200bb", "\u202bשלום\u202c", "a\r\n\tb"])
    expect([text, refusal(MessageBody, text)]).toEqual([text, undefined])
})

test("controls are refused, those above ASCII too: a terminal obeys them", () => {
  for (const text of ["a\u0000", "a\u001b[31m", "a\u009b31m", "a\u007f", "a\ud800"])
    expect(refusal(MessageBody, text)).toBe("has control characters or broken Unicode")
})

test("a display name has one line and turns no text around it", () => {
  for (const name of ["a\nb", "a\u2028b", "\u202eada", "ada\u2066"])
    expect(refusal(DisplayName, name)).toBe("has line breaks or characters that change the direction of writing")
  for (const name of ["محمد علي", "דנה\u200f", "O’Neill", "Ada (she) 🦊"])
    expect([name, refusal(DisplayName, name)]).toEqual([name, undefined])
})

test("a display name is composed, so that one name is one text", () => {
  expect(Schema.decodeUnknownSync(DisplayName)("E\u0301lodie")).toBe("Élodie")
})

test("a language may name its variants, of five letters or of a digit and three more", () => {
  for (const tag of ["en", "pt-BR", "zh-Hant-TW", "es-419", "de-1996", "sl-rozaj-biske", "ca-valencia"])
    expect([tag, refusal(Language, tag)]).toEqual([tag, undefined])
  for (const tag of ["", "EN", "en-", "en_US", "english", "en-US-x"]) expect(refusal(Language, tag)).toBeDefined()
})
