import { expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import { buildSchema, execute, type ExecutionResult, type GraphQLObjectType, parse } from "graphql"
import * as fc from "fast-check"
import type { RequestContext } from "../../src/graphql/Part.ts"
import { bounds } from "../../src/graphql/Plan.ts"
import * as Prepared from "../../src/graphql/Prepared.ts"
import * as Run from "../../src/graphql/Run.ts"

const sdl = `type Query { a: Int, b: Int!, self: Query, sure: Query!, many: [Query!]!, some: [Query], tags: [String!] }`

/** What each resolver gives, in the order in which they are asked, and how many turns of the scheduler later. */
interface Given {
  readonly kind: "value" | "null" | "failure"
  readonly turns: number
}

const fields: Readonly<Record<string, unknown>> = {
  a: 1,
  b: 2,
  self: {},
  sure: {},
  many: [{}, {}],
  some: [{}, null, {}],
  tags: ["x", "y"]
}

/** The same plan of values for both executors: a resolver's is chosen by where it stands. */
const valueOf = (plan: ReadonlyArray<Given>, field: string, seed: number): Given & { readonly value: unknown } => {
  const given = plan[(seed * 31 + field.length * 7 + field.charCodeAt(0)) % plan.length]!
  const value = fields[field]
  const numbered = (one: unknown, index: number) => (one === null ? null : { seed: seed * 5 + index + 1 })
  const shown =
    field === "tags"
      ? value
      : Array.isArray(value)
        ? value.map(numbered)
        : typeof value === "object"
          ? numbered({}, 0)
          : value
  return { ...given, value: shown }
}

const failure = (field: string) => new Error(`${field} failed`)

const seedOf = (parent: unknown): number => (parent as { readonly seed?: number } | undefined)?.seed ?? 1

/** graphql-js waits for promises. */
const theirs = (query: string, plan: ReadonlyArray<Given>): Promise<ExecutionResult> | ExecutionResult => {
  const schema = buildSchema(sdl)
  for (const [name, field] of Object.entries((schema.getType("Query") as GraphQLObjectType).getFields())) {
    field.resolve = async (parent) => {
      const { kind, value } = valueOf(plan, name, seedOf(parent))
      if (kind === "failure") throw failure(name)
      return kind === "null" ? null : value
    }
  }
  return execute({ schema, document: parse(query) })
}

/** We wait for Effects, some of which are done at once. */
const ours = (query: string, plan: ReadonlyArray<Given>): Promise<ExecutionResult> => {
  const schema = buildSchema(sdl)
  for (const [name, field] of Object.entries((schema.getType("Query") as GraphQLObjectType).getFields())) {
    bounds.set(field, {
      name: `Query.${name}`,
      decode: (args) => args,
      note: undefined,
      resolve: (parent: unknown) => {
        const { kind, turns, value } = valueOf(plan, name, seedOf(parent))
        const last = kind === "failure" ? Effect.die(failure(name)) : Effect.succeed(kind === "null" ? null : value)
        return turns === 0 ? last : Effect.zipRight(Effect.repeatN(Effect.yieldNow(), turns - 1), last)
      }
    })
  }
  const operation = Prepared.make(schema, { explorer: true }).prepare(query, undefined)
  if ("errors" in operation) throw new Error(JSON.stringify(operation.errors))
  const request = { memo: new Map() } as unknown as RequestContext
  return Effect.runPromise(Run.execute(request, (run) => operation.execute(run, {}))) as Promise<ExecutionResult>
}

/** Which errors are told depends on who is first, when one has made the others pointless. */
const pathsOf = ({ errors }: ExecutionResult) => (errors ?? []).map(({ path }) => (path ?? []).join(".")).sort()

const selection = fc.letrec<{ field: string; set: string }>((tie) => ({
  field: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom("a", "b", "tags"),
    fc.tuple(fc.constantFrom("self", "sure", "many", "some"), tie("set")).map(([name, set]) => `${name} ${set}`)
  ),
  set: fc
    .uniqueArray(tie("field"), { minLength: 1, maxLength: 3, selector: (field) => field.split(" ")[0] })
    .map((all) => `{ ${all.join(" ")} }`)
}))

const given: fc.Arbitrary<Given> = fc.record({
  kind: fc.constantFrom("value", "value", "value", "value", "null", "failure"),
  turns: fc.integer({ min: 0, max: 3 })
})

test("whatever fails or takes its time, the data is that of graphql's own executor, and each failure is told once", async () => {
  await fc.assert(
    fc.asyncProperty(selection.set, fc.array(given, { minLength: 5, maxLength: 13 }), async (query, plan) => {
      const [own, oracle] = await Promise.all([ours(query, plan), theirs(query, plan)])
      expect(JSON.stringify(own.data)).toBe(JSON.stringify(oracle.data))
      const told = pathsOf(own)
      expect(told.length === 0).toBe(pathsOf(oracle).length === 0)
      expect(new Set(told).size).toBe(told.length)
    }),
    { numRuns: 400 }
  )
})
