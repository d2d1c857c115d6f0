import type { GraphQLCompositeType, GraphQLField, GraphQLInputType, GraphQLSchema } from "graphql"
import { getNamedType, isCompositeType, isObjectType, isInterfaceType, isAbstractType } from "graphql"
import type { Chance } from "./Chance.ts"
import type { Values } from "./Values.ts"

/** One operation and its variables, as they go into a request. */
export interface Asked {
  readonly query: string
  readonly variables: Readonly<Record<string, unknown>>
  readonly kind: "query" | "mutation" | "subscription"
}

/** Selections of one operation at most, so that most operations stay within the limits. */
const fieldsMax = 60

/** JSON as GraphQL writes values. */
const written = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`
  if (typeof value === "object" && value !== null)
    return `{${Object.entries(value)
      .map(([name, inner]) => `${name}: ${written(inner)}`)
      .join(", ")}}`
  return JSON.stringify(value) ?? "null"
}

/** Random operations of a schema: valid ones, and ones that are nearly so. */
export class Grammar {
  readonly #schema: GraphQLSchema
  readonly #values: Values

  constructor(schema: GraphQLSchema, values: Values) {
    this.#schema = schema
    this.#values = values
  }

  operation(chance: Chance): Asked {
    const kind = chance.of(["query", "query", "query", "mutation", "mutation", "subscription"] as const)
    const root = this.#schema.getRootType(kind as never)!
    const writing = new Writing(this.#values, this.#schema, chance)
    const fields = Object.values(root.getFields())
    const count = kind === "subscription" ? 1 : chance.of([1, 1, 1, 2, 3])
    const selected = Array.from({ length: count }, (_, i) => {
      const alias = i > 0 || chance.in(0.1) ? `a${i}: ` : ""
      return alias + writing.field(chance.of(fields), chance.of([1, 3, 4, 6]))
    })
    const set = `{ ${selected.join(" ")}${chance.in(0.05) ? " __schema { types { name } }" : ""} }`
    const head = `${kind}${chance.in(0.3) ? " Fuzz" : ""}${writing.declared()}`
    const query = `${head} ${set}${writing.fragments.join("")}`
    return {
      query: chance.in(0.08) ? this.#spoiled(query, chance) : query,
      variables: chance.in(0.04) ? { ...writing.variables, extra: 1 } : writing.variables,
      kind
    }
  }

  /** The text with something changed. */
  #spoiled(query: string, chance: Chance): string {
    const at = chance.below(query.length)
    const rest = query.slice(at)
    return chance.of<() => string>([
      () => query.slice(0, at),
      () => query.slice(0, at) + query.slice(at + 1),
      () =>
        query.slice(0, at) + chance.of(["{", "}", "(", '"', "...", "@skip", "\u0000", "#", "$", "🙂", '"""']) + rest,
      () => query.replace(/\w+(?= \{)/, (name) => `${name}x`),
      () => query.slice(0, at) + query + rest,
      () => `${query} ${query}`,
      () => `${"{ viewer ".repeat(chance.of([12, 400]))}`,
      () => `{ ${Array.from({ length: 30 }, (_, i) => `b${i}: queueStats { waiting }`).join(" ")} }`,
      () => `{ queueStats { waiting ${"@include(if: true) ".repeat(60)} } }`,
      () => "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A queueStats { waiting } }"
    ])()
  }
}

/** What is written so far of one operation. */
class Writing {
  readonly variables: Record<string, unknown> = {}
  readonly fragments: Array<string> = []
  readonly #declarations: Array<string> = []
  readonly #values: Values
  readonly #schema: GraphQLSchema
  readonly #chance: Chance
  #left = fieldsMax

  constructor(values: Values, schema: GraphQLSchema, chance: Chance) {
    this.#values = values
    this.#schema = schema
    this.#chance = chance
  }

  declared(): string {
    return this.#declarations.length === 0 ? "" : `(${this.#declarations.join(", ")})`
  }

  #value(type: GraphQLInputType, place: ReadonlyArray<string>): string {
    const value = this.#values.of(type, this.#chance, place)
    if (!this.#chance.in(0.6)) return this.#literal(value, type)
    const variable = `v${this.#declarations.length}`
    this.#declarations.push(`$${variable}: ${this.#chance.in(0.97) ? String(type) : "Boolean"}`)
    if (!this.#chance.in(0.03)) this.variables[variable] = value
    return `$${variable}`
  }

  #literal(value: unknown, type: GraphQLInputType): string {
    const text = written(value)
    const named = getNamedType(type)
    return "getValues" in named
      ? text.replaceAll('"', "")
      : "getFields" in named
        ? text.replace(/"([A-Z_]{3,})"/g, "$1")
        : text
  }

  field(field: GraphQLField<unknown, unknown>, depth: number): string {
    this.#left--
    const chance = this.#chance
    const args = field.args
      .filter(({ type }) => (String(type).endsWith("!") ? chance.in(0.98) : chance.in(0.5)))
      .map(({ name, type }) => `${name}: ${this.#value(type, [field.name, name])}`)
    const directive = chance.in(0.03)
      ? ` @${chance.in(0.05) ? "nothing" : chance.of(["skip", "include"])}(if: ${chance.in(0.9)})`
      : ""
    const type = getNamedType(field.type)
    const set = isCompositeType(type) ? ` ${this.#set(type, depth - 1)}` : ""
    return `${field.name}${args.length > 0 ? `(${args.join(", ")})` : ""}${directive}${set}`
  }

  #set(type: GraphQLCompositeType, depth: number): string {
    const chance = this.#chance
    const parts = isObjectType(type) || isInterfaceType(type) ? this.#fields(type, depth) : []
    if (isAbstractType(type)) {
      for (const possible of this.#schema.getPossibleTypes(type))
        if (chance.in(0.4) && this.#left > 0) parts.push(`... on ${possible.name} ${this.#set(possible, depth - 1)}`)
    }
    if (parts.length === 0 || chance.in(0.1)) parts.push("__typename")
    const set = `{ ${parts.join(" ")} }`
    if (!chance.in(0.08)) return set
    const name = `F${this.fragments.length}`
    this.fragments.push(` fragment ${name} on ${type.name} ${set}`)
    return `{ ...${name} }`
  }

  #fields(type: GraphQLCompositeType, depth: number): Array<string> {
    if (!isObjectType(type) && !isInterfaceType(type)) return []
    const all = Object.values(type.getFields())
    const leaves = all.filter((field) => !isCompositeType(getNamedType(field.type)))
    const chosen = (depth <= 0 || this.#left <= 0 ? leaves : all).filter(() => this.#chance.in(0.5))
    return chosen.map((field) => this.field(field, depth))
  }
}
