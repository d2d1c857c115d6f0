import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type { ExecutionResult, GraphQLObjectType, GraphQLSchema } from "graphql"
import { buildSchema, execute, isObjectType, parse } from "graphql"
import * as fc from "fast-check"
import { memo, type RequestContext } from "../../src/graphql/Part.ts"
import { type Bound, bounds } from "../../src/graphql/Plan.ts"
import * as Prepared from "../../src/graphql/Prepared.ts"
import * as Run from "../../src/graphql/Run.ts"
import * as Batcher from "../../src/request/Batcher.ts"

const sdl = `type Query { a: Int, b: Int!, self: Query, sure: Query!, many: [Query!]!, some: [Query], tags: [String!],
  grid: [[Query!]]! }`

/** What each resolver gives, in the order in which they are asked, how many turns of the scheduler later, and as what. */
interface Given {
  readonly isLoad: boolean
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
  grid: [[{}, {}], [{}]],
  tags: ["x", "y"]
}

/** The same plan of values for both executors: a resolver's is chosen by where it stands. */
const valueOf = (plan: ReadonlyArray<Given>, field: string, seed: number): Given & { readonly value: unknown } => {
  const given = plan[(seed * 31 + field.length * 7 + field.charCodeAt(0)) % plan.length]!
  const value = fields[field]
  const numbered = (one: unknown, index: number): unknown =>
    one === null
      ? null
      : Array.isArray(one)
        ? one.map((inner, at) => numbered(inner, index * 2 + at))
        : { seed: seed * 5 + index + 1 }
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

/** A schema whose fields resolve so. */
const schemaOf = (text: string, resolve: (type: string, field: string) => Bound["resolve"] | undefined) => {
  const schema = buildSchema(text)
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type)) continue
    for (const [name, field] of Object.entries(type.getFields())) {
      const resolver = resolve(type.name, name)
      if (resolver === undefined) continue
      bounds.set(field, { name: `${type.name}.${name}`, decode: (args) => args, note: undefined, resolve: resolver })
    }
  }
  return schema
}

const prepared = (schema: GraphQLSchema, query: string): Prepared.Operation => {
  const operation = Prepared.make(schema, { explorer: true }).prepare(query, undefined)
  if ("errors" in operation) throw new Error(JSON.stringify(operation.errors))
  return operation
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

const later = <A>(turns: number, last: Effect.Effect<A>): Effect.Effect<A> =>
  turns === 0 ? last : Effect.zipRight(Effect.repeatN(Effect.yieldNow(), turns - 1), last)

/** The numbers themselves, by a batch of this request that takes so many turns. */
const numbers = (request: RequestContext, turns: number) =>
  memo(request, turns, () =>
    Batcher.make((keys: ReadonlyArray<number>) => later(turns, Exit.succeed(new Map(keys.map((key) => [key, key])))))
  )

/** We wait for Effects and loads, some of which are done at once. */
const ours = (query: string, plan: ReadonlyArray<Given>): Promise<ExecutionResult> => {
  const schema = schemaOf(sdl, (type, field) => {
    if (type !== "Query") return undefined
    return (parent, _, request) => {
      const seed = seedOf(parent)
      const { isLoad, kind, turns, value } = valueOf(plan, field, seed)
      const last = kind === "failure" ? Exit.die(failure(field)) : Exit.succeed(kind === "null" ? null : value)
      return isLoad ? numbers(request, turns).read(seed, () => last) : later(turns, last)
    }
  })
  const operation = prepared(schema, query)
  const request = { memo: new Map() } as unknown as RequestContext
  return Effect.runPromise(Run.execute(request, (run) => operation.execute(run, {})))
}

/** Which errors are told depends on who is first, when one has made the others pointless. */
const pathsOf = ({ errors }: ExecutionResult) => (errors ?? []).map(({ path }) => (path ?? []).join(".")).sort()

const selection = fc.letrec<{ field: string; set: string }>((tie) => ({
  field: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom("a", "b", "tags"),
    fc.tuple(fc.constantFrom("self", "sure", "many", "some", "grid"), tie("set")).map(([name, set]) => `${name} ${set}`)
  ),
  set: fc
    .uniqueArray(tie("field"), { minLength: 1, maxLength: 3, selector: (field) => field.split(" ")[0] })
    .map((all) => `{ ${all.join(" ")} }`)
}))

const given: fc.Arbitrary<Given> = fc.record({
  isLoad: fc.boolean(),
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

describe("what resolvers load", () => {
  interface Person {
    readonly n: number
  }

  /** `next` loads the person after this one, and `late` the one after that, in a fiber and some turns later. */
  const asked = (query: string) => {
    const batches: Array<ReadonlyArray<number>> = []
    const batcher = Batcher.make((keys: ReadonlyArray<number>) => {
      batches.push(keys)
      return Exit.succeed(new Map(keys.map((n): readonly [number, Person] => [n, { n }])))
    })
    const load = (n: number) => batcher.read(n, (found) => Exit.succeed(Option.getOrNull(found)))
    const resolvers: Readonly<Record<string, Bound["resolve"]>> = {
      "Query.all": () => [{ n: 10 }, { n: 20 }],
      "Person.next": ({ n }: Person) => load(n + 1),
      "Person.late": ({ n }: Person) => later(2, load(n + 2))
    }
    const schema = schemaOf(
      "type Person { n: Int, next: Person, late: Person } type Query { all: [Person] }",
      (type, field) => resolvers[`${type}.${field}`]
    )
    const operation = prepared(schema, query)
    const begun = Run.start(Runtime.defaultRuntime, {} as RequestContext, (run) => operation.execute(run, {}))
    return { batches, begun }
  }

  test("is one batch a level, and there when the operation has begun where the lookup is", () => {
    const { batches, begun } = asked("{ all { next { n next { n } } } }")
    expect(begun).toEqual({
      data: { all: [{ next: { n: 11, next: { n: 12 } } }, { next: { n: 21, next: { n: 22 } } }] }
    })
    expect(batches).toEqual([
      [11, 21],
      [12, 22]
    ])
  })

  test("waits for what a fiber of the same operation may still ask for", async () => {
    const { batches, begun } = asked("{ all { next { n } late { n } } }")
    if (!Effect.isEffect(begun)) throw new Error("It did not wait")
    expect(await Effect.runPromise(begun)).toEqual({
      data: {
        all: [
          { next: { n: 11 }, late: { n: 12 } },
          { next: { n: 21 }, late: { n: 22 } }
        ]
      }
    })
    expect(batches).toEqual([[11, 21, 12, 22]])
  })
})
