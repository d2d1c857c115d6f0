import * as Schema from "effect/Schema"

/** What Postgres or a terminal cannot take: NUL and other controls but those that break lines, lone surrogates. */
const unfit =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/
/** More than this many combining marks in a row is decoration that breaks other people's screens. */
const zalgo = /\p{M}{33,}/u

/** Something to see: the blank of Braille and the fillers of Hangul are neither space nor control. */
const visible = /[^\s\p{Default_Ignorable_Code_Point}\u0085\u2800]/u

const codePoints = (text: string): number => {
  let n = 0
  for (const _ of text) n++
  return n
}

/** Text of people: `min` to `max` code points, not blank where min > 0, kept to the byte (no trimming). */
export const Text = (min: number, max: number) =>
  Schema.String.pipe(
    Schema.filter((text) => {
      if (unfit.test(text)) return "has control characters or broken Unicode"
      if (zalgo.test(text)) return "has more than 32 combining marks in a row"
      if (text.length > max * 2 || codePoints(text) > max) return `is longer than ${max} characters`
      if (codePoints(text) < min) return `is shorter than ${min} characters`
      if (min > 0 && !visible.test(text)) return "is blank"
      return true
    })
  )

/** 1 to 4,000 characters: what people send each other. */
export const MessageBody = Text(1, 4_000)

/** 1 to 64 of [A-Za-z0-9_-], chosen by the client; the same key by the same user returns the first result. */
export const ClientKey = Schema.String.pipe(
  Schema.filter((key) => /^[A-Za-z0-9_-]{1,64}$/.test(key) || "is not 1 to 64 of [A-Za-z0-9_-]")
)

/** Text as it may stand in a pattern of LIKE: `%`, `_` and `\` mean themselves. */
export const likeLiteral = (text: string): string => text.replace(/[\\%_]/g, (special) => `\\${special}`)
