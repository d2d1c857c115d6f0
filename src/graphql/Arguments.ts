import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { invalid } from "../errors.ts"
import * as Failures from "./Failures.ts"

type Decode = (args: unknown) => unknown

/** What a quick decoder returns where the Schema itself must say what is wrong, or what is right after all. */
const unsure = Symbol("unsure")

/** Where a text has NUL, which Postgres cannot take: the dotted path. */
const pathOfNul = (value: unknown, path: string): string | undefined => {
  if (typeof value === "string") return value.includes("\u0000") ? path : undefined
  if (typeof value !== "object" || value === null) return undefined
  for (const [name, inner] of Object.entries(value)) {
    const found = pathOfNul(inner, path === "" ? name : `${path}.${name}`)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * Decodes arguments, or throws ValidationFailed as graphql's error. What simple Schemas say of what is right needs none
 * of Schema's machinery, which costs several times as much as all else that is done for a field.
 */
export const decoder = (args: Schema.Schema.AnyNoContext | undefined): Decode => {
  if (args === undefined) return (given) => given
  const quick = compiled(args.ast)
  const decode = ParseResult.decodeUnknownEither(args, { errors: "all", onExcessProperty: "error" })
  return (given) => {
    const made = quick === undefined ? unsure : quick(given)
    if (made !== unsure) return made
    const decoded = decode(given)
    const nul = pathOfNul(given, "")
    if (Either.isRight(decoded) && nul === undefined) return decoded.right
    if (Either.isRight(decoded)) throw Failures.toGraphQLError(invalid(nul ?? "", "has the character NUL"))
    throw Failures.toGraphQLError(Failures.fromIssue(decoded.left))
  }
}

const text: Decode = (value) => (typeof value === "string" && !value.includes("\u0000") ? value : unsure)
const kind =
  (name: "number" | "boolean" | "undefined"): Decode =>
  (value) =>
    typeof value === name ? value : unsure

/** A decoder that agrees with the Schema wherever it is sure; undefined for what is not simple. */
const compiled = (ast: SchemaAST.AST): Decode | undefined => {
  const isPlain =
    Option.isNone(SchemaAST.getParseOptionsAnnotation(ast)) &&
    Option.isNone(SchemaAST.getDecodingFallbackAnnotation(ast))
  if (!isPlain) return undefined
  switch (ast._tag) {
    case "StringKeyword":
      return text
    case "NumberKeyword":
      return kind("number")
    case "BooleanKeyword":
      return kind("boolean")
    case "UndefinedKeyword":
      return kind("undefined")
    case "Literal":
      return (value) => (value === ast.literal ? value : unsure)
    case "Refinement":
      return refined(ast)
    case "Transformation":
      return transformed(ast)
    case "Union":
      return anyOf(ast)
    case "TupleType":
      return listOf(ast)
    case "TypeLiteral":
      return objectOf(ast)
    default:
      return undefined
  }
}

const refined = (ast: SchemaAST.Refinement): Decode | undefined => {
  const from = compiled(ast.from)
  if (from === undefined) return undefined
  return (given) => {
    const value = from(given)
    return value !== unsure && Option.isNone(ast.filter(value, SchemaAST.defaultParseOption, ast)) ? value : unsure
  }
}

const transformed = (ast: SchemaAST.Transformation): Decode | undefined => {
  const { transformation } = ast
  const from = compiled(ast.from)
  const to = compiled(ast.to)
  if (from === undefined || to === undefined || !SchemaAST.isFinalTransformation(transformation)) return undefined
  return (given) => {
    const value = from(given)
    if (value === unsure) return unsure
    const made: unknown = transformation.decode(value, SchemaAST.defaultParseOption, ast, given)
    return Either.isEither(made) && Either.isRight(made) ? to(made.right) : unsure
  }
}

const isConstant = (ast: SchemaAST.AST): boolean => SchemaAST.isLiteral(ast) || SchemaAST.isUndefinedKeyword(ast)

/** Constants, and one more at most: so no two members take the same value. */
const anyOf = ({ types }: SchemaAST.Union): Decode | undefined => {
  const members = types.map(compiled)
  if (!members.every((member) => member !== undefined)) return undefined
  if (types.filter((type) => !isConstant(type)).length > 1) return undefined
  return (given) => {
    for (const member of members) {
      const value = member(given)
      if (value !== unsure) return value
    }
    return unsure
  }
}

const listOf = ({ elements, rest }: SchemaAST.TupleType): Decode | undefined => {
  const [items, more] = rest
  const item = items === undefined || more !== undefined || elements.length > 0 ? undefined : compiled(items.type)
  if (item === undefined) return undefined
  return (given) => {
    if (!Array.isArray(given)) return unsure
    const list: Array<unknown> = []
    for (const one of given as ReadonlyArray<unknown>) {
      const value = item(one)
      if (value === unsure) return unsure
      list.push(value)
    }
    return list
  }
}

const objectOf = ({ indexSignatures, propertySignatures }: SchemaAST.TypeLiteral): Decode | undefined => {
  if (propertySignatures.length === 0 || indexSignatures.length > 0) return undefined
  const properties: Array<{ readonly name: string; readonly isOptional: boolean; readonly decode: Decode }> = []
  for (const { isOptional, name, type } of propertySignatures) {
    const decode = compiled(type)
    if (decode === undefined || typeof name !== "string" || name === "__proto__") return undefined
    properties.push({ name, isOptional, decode })
  }
  return (given) => {
    if (typeof given !== "object" || given === null || Array.isArray(given)) return unsure
    const object: Record<string, unknown> = {}
    let strange = 0
    for (const _ in given) strange++
    for (const { decode, isOptional, name } of properties) {
      if (!Object.hasOwn(given, name)) {
        if (isOptional) continue
        return unsure
      }
      const value = decode((given as Record<string, unknown>)[name])
      if (value === unsure) return unsure
      object[name] = value
      strange--
    }
    return strange === 0 ? object : unsure
  }
}
