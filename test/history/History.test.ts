import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { invalid } from "../../src/errors.ts"
import * as Cursor from "../../src/graphql/Cursor.ts"
import * as History from "../../src/history/History.ts"
import * as Talk from "../interaction/Talk.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const layer = History.layer.pipe(
  Layer.provideMerge(Layer.merge(Postgres.layerDatabase, Cursor.layerSecret("a secret of the tests")))
)

const ask = (viewerId: Talk.Person, first: number, after: string | null): History.PageRequest => ({
  field: "history",
  viewerId,
  first,
  after,
  withId: null,
  active: null
})

/** The interactions of all pages; `between` runs after each page. */
const all = (request: History.PageRequest, between: Effect.Effect<unknown, unknown, never> = Effect.void) =>
  Effect.gen(function* () {
    const history = yield* History.History
    const found: Array<string> = []
    let after: string | null = null
    do {
      const page: Effect.Effect.Success<ReturnType<typeof history.page>> = yield* history.page({ ...request, after })
      found.push(...page.edges.map(({ node }) => node.id))
      after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null
      yield* between
    } while (after !== null)
    return found
  })

const minute = 60_000

withLayer("the history of a person", layer, (it) => {
  it("shows every interaction once, the newest first, while new ones begin", () =>
    Effect.gen(function* () {
      const ada = yield* Talk.person
      const ids: Array<string> = []
      const start = Date.UTC(2026, 0, 1)
      for (let n = 0; n < 11; n++) {
        // Several begin at one instant.
        const talk = yield* Talk.between([ada, yield* Talk.person], new Date(start + Math.floor(n / 3) * minute))
        ids.push(talk.id)
      }
      yield* Talk.between()
      const whole = yield* all(ask(ada, 100, null))
      expect([...whole].sort()).toEqual([...ids].sort())
      expect(whole.slice(0, 2).sort()).toEqual(ids.slice(-2).sort())
      const context = yield* Effect.context<Effect.Effect.Context<typeof Talk.person>>()
      let later = 100
      const begin = Effect.suspend(() => Talk.between([ada], new Date(start + later++ * minute))).pipe(
        Effect.provide(context)
      )
      for (const first of [1, 3, 10]) {
        const before = new Set(yield* all(ask(ada, 100, null)))
        const paged = yield* all(ask(ada, first, null), begin)
        expect(paged.filter((id) => before.has(id)).length).toBe(before.size)
        expect(new Set(paged).size).toBe(paged.length)
      }
    }))

  it("can be narrowed to one other person, and to what is going on or over", () =>
    Effect.gen(function* () {
      const ada = yield* Talk.person
      const bob = yield* Talk.person
      const withBob = yield* Talk.between([ada, bob])
      yield* Talk.between([ada, yield* Talk.person])
      const history = yield* History.History
      const ids = (request: Partial<History.PageRequest>) =>
        Effect.map(history.page({ ...ask(ada, 10, null), ...request }), ({ edges }) => edges.map(({ node }) => node.id))
      expect(yield* ids({ withId: bob })).toEqual([withBob.id])
      expect((yield* ids({ withId: ada })).length).toBe(0)
      expect((yield* ids({ active: true })).length).toBe(2)
      expect((yield* ids({ active: false })).length).toBe(0)
    }))

  it("refuses a cursor of somebody else, of another list, and of nobody", () =>
    Effect.gen(function* () {
      const { ada, bob } = yield* Talk.between()
      yield* Talk.between([ada, bob])
      const history = yield* History.History
      const { pageInfo } = yield* history.page(ask(ada, 1, null))
      const foreign: ReadonlyArray<History.PageRequest> = [
        ask(bob, 1, pageInfo.endCursor),
        ask(ada, 1, "AAAA"),
        { ...ask(ada, 1, pageInfo.endCursor), field: "Viewer.interactions" },
        { ...ask(ada, 1, pageInfo.endCursor), active: true }
      ]
      for (const request of foreign) {
        expect(yield* Effect.flip(history.page(request))).toEqual(
          invalid("after", "is not a cursor that this field returned for these arguments")
        )
      }
    }))
})
