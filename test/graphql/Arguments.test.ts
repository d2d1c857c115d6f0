import { expect, test } from "bun:test"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import fc from "fast-check"
import { GraphQLError } from "graphql"
import * as Ids from "../../src/domain/Ids.ts"
import { decoder } from "../../src/graphql/Arguments.ts"
import * as Failures from "../../src/graphql/Failures.ts"

const leaf = fc.constantFrom<Schema.Schema.AnyNoContext>(
  Schema.String,
  Schema.Boolean,
  Schema.Number,
  Schema.Int,
  Schema.Int.pipe(Schema.between(0, 10)),
  Schema.String.pipe(Schema.maxLength(3)),
  Schema.Trim,
  Schema.NumberFromString,
  Schema.Date,
  Schema.Unknown,
  Schema.Literal("USER", "ADMIN"),
  Schema.Literal(null),
  Ids.Global("User", Ids.UserId),
  Ids.UserId,
  Schema.String.annotations({ decodingFallback: () => Either.right("instead") })
)

const nested = fc.letrec<{ schema: Schema.Schema.AnyNoContext; struct: Schema.Schema.AnyNoContext }>((tie) => ({
  schema: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaf,
    tie("schema").map((of) => Schema.NullOr(of)),
    tie("schema").map((of) => Schema.UndefinedOr(of)),
    tie("schema").map((of) => Schema.Array(of)),
    tie("schema").map((of) => Schema.NonEmptyArray(of)),
    fc.tuple(tie("schema"), tie("schema")).map(([one, other]) => Schema.Union(one, other)),
    tie("struct")
  ),
  struct: fc
    .dictionary(
      fc.constantFrom("a", "b", "c"),
      fc.tuple(tie("schema"), fc.constantFrom("asked", "optional", "filled")),
      { maxKeys: 3 }
    )
    .map((fields) =>
      Schema.Struct(
        Object.fromEntries(
          Object.entries(fields).map(([name, [of, how]]) => [
            name,
            how === "asked"
              ? of
              : how === "optional"
                ? Schema.optional(of)
                : Schema.optionalWith(of, { default: () => 1 as never })
          ])
        )
      )
    ) as fc.Arbitrary<Schema.Schema.AnyNoContext>
}))

const user = Ids.toGlobal("User", "01a22cdf-55f9-7073-8a50-2a9a0df48c5f")
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(null, undefined, true, 0, 3, -0, 1.5, Number.NaN, 4_294_967_296),
    fc.constantFrom(
      "",
      "ab",
      "abcd",
      " a ",
      "7",
      "USER",
      "with \u0000",
      "2026-01-01",
      user,
      user.replace("usr", "msg")
    ),
    fc.array(tie("any"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom("a", "b", "c", "d", "toString", "__proto__"), tie("any"), {
      maxKeys: 3,
      noNullPrototype: true
    })
  )
})).any

const hasNul = (given: unknown): boolean =>
  typeof given === "string"
    ? given.includes("\u0000")
    : typeof given === "object" && given !== null && Object.values(given).some(hasNul)

const outcome = (run: () => unknown): unknown => {
  try {
    return { value: run() }
  } catch (error) {
    // Schema itself throws where it looks for literals of a union and finds `{ toString: null }`; no input of graphql has that.
    if (!(error instanceof GraphQLError)) return { thrown: String(error) }
    return { message: error.message, extensions: error.extensions }
  }
}

/** What Schema says, with all its machinery. */
const plainly = (schema: Schema.Schema.AnyNoContext, given: unknown) => {
  const decoded = ParseResult.decodeUnknownEither(schema, { errors: "all", onExcessProperty: "error" })(given)
  if (Either.isRight(decoded)) return decoded.right
  throw Failures.toGraphQLError(Failures.fromIssue(decoded.left))
}

test("arguments are decoded as their Schema says, whatever the Schema and whatever comes", () => {
  let right = 0
  fc.assert(
    fc.property(nested.struct, fc.array(value, { minLength: 20, maxLength: 20 }), (schema, all) => {
      const decode = decoder(schema)
      for (const given of all) {
        if (hasNul(given)) continue
        const said = outcome(() => plainly(schema, given))
        if (typeof said === "object" && said !== null && "value" in said) right++
        expect(outcome(() => decode(given))).toStrictEqual(said)
      }
    }),
    { numRuns: 2_000 }
  )
  // It would agree on nothing but refusals otherwise.
  expect(right).toBeGreaterThan(1_000)
})

test("a text with NUL is refused wherever it stands", () => {
  const decode = decoder(Schema.Struct({ a: Schema.Array(Schema.Struct({ b: Schema.optional(Schema.String) })) }))
  expect(decode({ a: [{ b: "x" }, {}] })).toEqual({ a: [{ b: "x" }, {}] })
  expect(() => decode({ a: [{}, { b: "x\u0000" }] })).toThrow(GraphQLError)
  expect(outcome(() => decode({ a: [{}, { b: "x\u0000" }] }))).toMatchObject({
    extensions: { code: "VALIDATION_FAILED", issues: [{ path: "a.1.b", message: "has the character NUL" }] }
  })
})
