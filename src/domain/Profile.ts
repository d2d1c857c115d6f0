import * as Schema from "effect/Schema"
import { Text } from "./Text.ts"

/** 3 to 24 of [a-z0-9_]; upper case is refused, not folded, so that what people type is what they get. */
export const Handle = Schema.String.pipe(
  Schema.filter((handle) => /^[a-z0-9_]{3,24}$/.test(handle) || "is not 3 to 24 of [a-z0-9_]")
)

/**
 * A letter that is no capital, or a digit, with its vowel signs and accents: Devanagari and Thai write most vowels so.
 * Between letters, the joiners that some are spelled with: after a sign that joins, as in Sinhala, and in Persian words.
 */
const letter =
  /[\p{Ll}\p{Lm}\p{Lo}\p{N}]\p{M}{0,8}(?:(?:(?<=\p{M})[\u200c\u200d]|(?<=\p{Script=Arabic})\u200c)(?=\p{Lo}))?/u.source
const slug = new RegExp(`^(${letter})+(-(${letter})+)*$`, "u")

/** A lower-case slug of letters and digits of any script in NFC, words joined by single hyphens, at most 50 UTF-16 units. */
export const Interest = Schema.String.pipe(
  Schema.filter((interest) => {
    if (interest.normalize("NFC") !== interest) return "is not in Unicode's composed form, NFC"
    return (
      (interest.length <= 50 && slug.test(interest)) ||
      "is not a lower-case slug of at most 50 characters, such as board-games"
    )
  })
)

const unique = (what: string) => (list: ReadonlyArray<string>) =>
  new Set(list).size === list.length || `has the same ${what} twice`

/** At most 50 different interests. */
export const Interests = Schema.Array(Interest).pipe(
  Schema.filter((list) => list.length <= 50 || "has more than 50 interests"),
  Schema.filter(unique("interest"))
)

/** A BCP 47 tag: language, then optional script, region and variants. Kept as written. */
export const Language = Schema.String.pipe(
  Schema.filter(
    (tag) =>
      (tag.length <= 35 &&
        /^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|\d{3}))?(-([a-zA-Z0-9]{5,8}|\d[a-zA-Z0-9]{3}))*$/.test(tag)) ||
      "is not a BCP 47 language tag such as en or pt-BR"
  )
)

/** 1 to 10 different languages. */
export const Languages = Schema.Array(Language).pipe(
  Schema.filter((list) => (list.length >= 1 && list.length <= 10) || "does not have 1 to 10 languages"),
  Schema.filter(unique("language"))
)

/** A region as people name it to each other in this application: 1 to 32 of [a-z0-9-], such as eu-west or br. */
export const Region = Schema.String.pipe(
  Schema.filter((region) => /^[a-z0-9-]{1,32}$/.test(region) || "is not 1 to 32 of [a-z0-9-]")
)

/** What would reach beyond the name, wherever it is shown: a second line, or the direction of what stands behind it. */
const unruly = /[\t\n\r\u0085\u2028\u2029\u202a-\u202e\u2066-\u2069]/

const RuledName = Text(1, 50).pipe(
  Schema.filter((name) => !unruly.test(name) || "has line breaks or characters that change the direction of writing")
)

/** One line of 1 to 50 characters. Decodes to NFC, so that whoever looks for a name writes it as it is kept. */
export const DisplayName = Schema.transform(Schema.String, RuledName, {
  strict: true,
  decode: (name) => name.normalize("NFC"),
  encode: (name) => name
})
export const Bio = Text(0, 500)

/** The languages of a profile that names none. */
export const defaultLanguages: ReadonlyArray<string> = ["en"]
