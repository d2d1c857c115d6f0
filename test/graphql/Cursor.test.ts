import { expect } from "bun:test"
import * as fc from "fast-check"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { invalid } from "../../src/errors.ts"
import * as Cursor from "../../src/graphql/Cursor.ts"
import * as PageArgs from "../../src/graphql/PageArgs.ts"
import { it } from "../kit/effect.ts"

const cursor = Cursor.make("a secret of the tests")
const refused = invalid("after", "is not a cursor that this field returned for these arguments")

it("a cursor gives back its values for the field and arguments that returned it", () =>
  Effect.sync(() =>
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.constant(null)), { maxLength: 4 }),
        fc.dictionary(fc.string(), fc.string(), { maxKeys: 4 }),
        (values, args) => {
          const text = cursor.encode("history", { ...args, first: 10 }, values)
          const found = Effect.runSync(cursor.decode("history", { first: 3, after: text, ...args }, text))
          expect(found).toEqual(Option.some(values))
        }
      ),
      { numRuns: 50 }
    )
  ))

it("a cursor is refused for another field, other arguments, another secret and when it was touched", () =>
  Effect.gen(function* () {
    const text = cursor.encode("history", { with: "ada" }, [1, "id"])
    const touched = (text.startsWith("B") ? "A" : "B") + text.slice(1)
    const attempts = [
      cursor.decode("auditLog", { with: "ada" }, text),
      cursor.decode("history", { with: "bob" }, text),
      cursor.decode("history", {}, text),
      Cursor.make("another").decode("history", { with: "ada" }, text),
      cursor.decode("history", { with: "ada" }, touched),
      cursor.decode("history", { with: "ada" }, "💥"),
      cursor.decode("history", { with: "ada" }, ""),
      cursor.decode("history", { with: "ada" }, "A".repeat(Cursor.cursorCharactersMax + 1))
    ]
    for (const attempt of attempts) expect(yield* Effect.either(attempt)).toEqual(Either.left(refused))
  }))

it("no cursor is no position, and the order of arguments does not matter", () =>
  Effect.gen(function* () {
    expect(yield* cursor.decode("history", {}, undefined)).toEqual(Option.none())
    const text = cursor.encode("search", { text: "x", in: "y" }, [1])
    expect(yield* cursor.decode("search", { in: "y", text: "x", with: undefined }, text)).toEqual(Option.some([1]))
  }))

const Both = Schema.Struct(PageArgs.both()).pipe(PageArgs.oneWay)

it("page sizes have a default and a bound, and the two directions do not mix", () =>
  Effect.gen(function* () {
    const forward = Schema.decodeUnknownEither(Schema.Struct(PageArgs.forward(20)))
    expect(forward({})).toEqual(Either.right({ first: 20 }))
    expect(forward({ first: null, after: null })).toEqual(Either.right({ first: 20, after: null }))
    expect(Either.isLeft(forward({ first: 101 }))).toBe(true)
    expect(Either.isLeft(forward({ first: -1 }))).toBe(true)
    const both = Schema.decodeUnknownEither(Both)
    expect(Either.isLeft(both({ first: 1, last: 1 }))).toBe(true)
    expect(Either.isLeft(both({ first: 1, before: "x" }))).toBe(true)
    expect(Either.isLeft(both({ last: 1, after: "x" }))).toBe(true)
    expect(PageArgs.window({ last: 5 }, 20)).toEqual({ backward: true, limit: 5 })
    expect(PageArgs.window({}, 20)).toEqual({ backward: false, limit: 20 })
  }))
