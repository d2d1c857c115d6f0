import type { GraphQLInputType } from "graphql"
import { getNullableType, isEnumType, isInputObjectType, isListType, isNonNullType } from "graphql"
import type { Chance } from "./Chance.ts"

const texts: ReadonlyArray<string> = [
  "",
  " ",
  "tea",
  "\u0000",
  "a\u0000b",
  "line\r\nset-cookie: x=1",
  "\u001b[31mred\u001b[0m",
  "\ud800",
  "\u202eright to left",
  "🙂".repeat(50),
  "ﷺ".repeat(300),
  "e\u0301\u0327".repeat(40),
  "'; drop table users; --",
  "%_\\%",
  "${7*7}{{7*7}}",
  "<script>alert(1)</script>",
  "../../../../etc/passwd",
  "__proto__",
  "constructor",
  "NaN",
  "null",
  "-1",
  "9".repeat(400),
  "x".repeat(5_000),
  "a & b | !c <-> :*",
  '"unclosed phrase'
]

const numbers = [0, 1, -1, 2, 20, 100, 101, 2_147_483_647, -2_147_483_648, 2_147_483_648, 9e15, 1e308, -0, 0.5, 1e-9]

const times = ["2030-01-01T00:00:00.000Z", "yesterday", "0000-00-00T00:00:00Z", "+275760-09-13T00:00:00.001Z", "1e3"]

const deep = (levels: number): unknown => {
  let value: unknown = []
  for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { a: value }
  return value
}

/** Anything that JSON can say. */
const anything = (chance: Chance): unknown =>
  chance.of<() => unknown>([
    () => null,
    () => chance.in(0.5),
    () => chance.of(numbers),
    () => chance.of(texts),
    () => [],
    () => ({}),
    () => [chance.of(texts), chance.of(numbers)],
    () => JSON.parse(`{"__proto__":{"role":"ADMIN"},"constructor":1}`) as unknown,
    () => deep(1 + chance.below(40))
  ])()

/** What an argument, or else its field, says of the ids that it takes. */
const prefixes: ReadonlyArray<readonly [says: RegExp, prefix: string]> = [
  [/interaction/i, "int_"],
  [/user|subject|with|target/i, "usr_"],
  [/message/i, "msg_"],
  [/session/i, "ses_"],
  [/report/i, "rep_"],
  [/action/i, "act_"]
]

/** Values for arguments: mostly of their type and near its limits, now and then of another one. */
export class Values {
  /** Ids that the server gave, of whoever's things they are. */
  readonly ids: Array<string> = []
  readonly handles: Array<string> = []

  /** Keeps what an answer shows of ids; a bounded number. */
  learn(answer: string): void {
    for (const [id] of answer.matchAll(/\b[a-z]{3}_[0-9a-f]{32}\b/g)) this.#keep(this.ids, id)
    for (const [, handle] of answer.matchAll(/"handle":"(\w+)"/g)) this.#keep(this.handles, handle!)
  }

  #keep(into: Array<string>, value: string): void {
    if (into.includes(value)) return
    if (into.push(value) > 200) into.shift()
  }

  /** `place`: the names that lead to the argument, its own last. */
  of(type: GraphQLInputType, chance: Chance, place: ReadonlyArray<string>): unknown {
    if (chance.in(0.03)) return anything(chance)
    if (!isNonNullType(type) && chance.in(0.2)) return null
    const bare = getNullableType(type)
    if (isListType(bare))
      return Array.from({ length: chance.of([0, 1, 1, 2, 3, 60]) }, () => this.of(bare.ofType, chance, place))
    if (isEnumType(bare)) return chance.of(bare.getValues()).name
    if (isInputObjectType(bare)) {
      const fields = Object.values(bare.getFields()).filter(
        ({ type: of }) => chance.in(0.97) && (isNonNullType(of) || chance.in(0.6))
      )
      const made = fields.map(({ name, type: of }) => [name, this.of(of, chance, [...place, name])])
      return Object.fromEntries(chance.in(0.02) ? [...made, ["unknown", 1]] : made)
    }
    switch (bare.name) {
      case "Int":
        return chance.in(0.8) ? chance.of([0, 1, 2, 5, 20, 100]) : chance.of(numbers)
      case "Float":
        return chance.of(numbers)
      case "Boolean":
        return chance.in(0.5)
      case "ID":
        return chance.in(0.9) ? this.#knownId(chance, place) : this.#strangeId(chance)
      case "DateTime":
        return chance.of(times)
      case "ClientKey":
        return chance.in(0.8) ? `key-${chance.below(1_000_000)}` : chance.of(texts)
      default:
        return this.#text(chance, place.at(-1) ?? "")
    }
  }

  #knownId(chance: Chance, place: ReadonlyArray<string>): string {
    const prefix = place.flatMap((name) => prefixes.find(([says]) => says.test(name))?.[1] ?? []).at(-1)
    const fitting = this.ids.filter((id) => prefix === undefined || chance.in(0.05) || id.startsWith(prefix))
    return fitting.length === 0 ? this.#strangeId(chance) : chance.of(fitting)
  }

  #strangeId(chance: Chance): string {
    const hex = "0123456789abcdef"
    const digits = Array.from({ length: chance.of([31, 32, 32, 32, 33]) }, () => chance.of([...hex])).join("")
    return chance.in(0.7)
      ? `${chance.of(["usr", "int", "msg", "ses", "tic", "xyz", "rep"])}_${digits}`
      : chance.of(texts)
  }

  #text(chance: Chance, argument: string): string {
    if (argument === "handle" && this.handles.length > 0 && chance.in(0.5)) return chance.of(this.handles)
    if (argument === "handle" && chance.in(0.6)) return `fuzz_${chance.below(1_000_000)}`
    if (/password|current|next/.test(argument) && chance.in(0.5)) return "correct horse battery"
    if (/languages|region/.test(argument) && chance.in(0.5)) return chance.of(["en", "de", "EU", "US"])
    return chance.of(texts)
  }
}
