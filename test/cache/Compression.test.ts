import { expect, test } from "bun:test"
import * as fc from "fast-check"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Compression from "../../src/cache/Compression.ts"
import * as Envelope from "../../src/cache/Envelope.ts"
import * as SevenBits from "../../src/cache/SevenBits.ts"

const Page = Schema.Struct({ messages: Schema.Array(Schema.Struct({ sender: Schema.String, body: Schema.String })) })
type Page = typeof Page.Type

const page = (sender: string, bodies: ReadonlyArray<string>): Page => ({
  messages: bodies.map((body) => ({ sender, body }))
})
const bodies = [
  "Have you been to the sea this summer?",
  "No, but my sister has. Where did you go?",
  "To the mountains!"
]

const codec = (example?: Page) => Envelope.codec({ schema: Page, compressOver: 0, example, stamp: () => "stamp" })
const written = (by: ReturnType<typeof codec>, value: Page): string =>
  by.encode(Option.some(value), 1, []).join("0".repeat(13))

test("any bytes come back from their seven bits, which are ASCII", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const text = SevenBits.encode(bytes)
      expect(text.length).toBe(Math.ceil((bytes.length * 8) / 7))
      expect(Buffer.byteLength(text)).toBe(text.length)
      expect([...SevenBits.decode(text)]).toEqual([...bytes])
    })
  )
})

test("a value like the example takes less than half of what it takes without, and comes back the same", () => {
  const value = page("ada", bodies)
  const example = codec(page("someone else", bodies.toReversed()))
  const text = written(example, value)
  expect(text.length).toBeLessThan(written(codec(), value).length / 2)
  expect(example.decode(text)?.value).toEqual(Option.some(value))
})

test("what an example says again is left out of its dictionary, and one that never does stands there whole", () => {
  const once = Array.from({ length: 60 }, (_, n) => `${n}:${n * n};`).join("")
  expect(Compression.dictionary(once)).toBe(once)
  expect(Compression.dictionary(once + once + once)).toBe(once)
  expect(Compression.dictionary(`${once}, and ${once}!`)).toBe(`${once}, and !`)
})

test("texts of any length come back, also beside each other's bytes and longer than the place they share", () => {
  const { pack, unpack } = Compression.make(undefined)
  const texts = [10, 21_000, 30_000, 70_000, 5_000].map((length) => "añ€😀 ".repeat(length / 5) + length)
  const packed = texts.map(pack)
  expect(packed.map(({ body, format }) => unpack(format, body) ?? body)).toEqual(texts)
})

test("a text that would be longer when compressed stays as it is", () => {
  const { pack } = Compression.make(undefined)
  for (const text of ["", "a", '{"name":"Ada"}']) expect(pack(text)).toEqual({ format: "j", body: text })
})

test("what was compressed by another example, by one where there is none now, or by another schema is absent", () => {
  const value = page("ada", bodies)
  const before = codec(page("someone else", bodies))
  const text = written(before, value)
  expect(before.decode(text)).toBeDefined()
  expect(codec(page("someone", bodies)).decode(text)).toBeUndefined()
  expect(codec().decode(text)).toBeUndefined()
  expect(before.decode(written(codec(), value))).toBeUndefined()
})

test("a damaged body is absent", () => {
  const one = codec()
  const text = written(one, page("ada", bodies))
  expect(one.decode(`${text.slice(0, -40)}${"\u0001".repeat(40)}`)).toBeUndefined()
  expect(one.decode(text.slice(0, -40))).toBeUndefined()
})
