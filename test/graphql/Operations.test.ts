import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import type { ExecutionResult } from "graphql"
import * as Settings from "../../src/config/Settings.ts"
import { NotFound } from "../../src/errors.ts"
import { assemble } from "../../src/graphql/assemble.ts"
import * as Operations from "../../src/graphql/Operations.ts"
import { type Part, plain, type RequestContext } from "../../src/graphql/Part.ts"
import * as Run from "../../src/graphql/Run.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { it } from "../kit/effect.ts"

const person = { id: "ada", handle: "ada", displayName: "Ada" }

/** What `viewer.user` resolves to, by which each test asks its question. */
const partOf = (user: () => unknown): Part => ({
  Query: { viewer: plain(() => ({})) },
  types: { Viewer: { user: plain(user), role: plain(() => "USER") } }
})

const make = (user: () => unknown) =>
  Effect.gen(function* () {
    const settings = yield* Settings.Settings
    const operations = Operations.make(assemble([partOf(user)]), settings)
    const operation = operations.find({
      query: "{ viewer { role user { handle } } }",
      sha256: undefined,
      variables: {}
    })
    if ("errors" in operation) throw new Error(JSON.stringify(operation))
    const request = () => ({ memo: new Map(), session: Option.none() }) as unknown as RequestContext
    const runIn = operations.runIn(yield* Run.here)
    return {
      inFiber: Effect.suspend(() => operations.run(operation, {}, request())),
      without: () => runIn(operation, {}, request())
    }
  }).pipe(
    // As in a program without a collector of traces.
    Effect.withTracerEnabled(false),
    Effect.provide(Settings.layerTest())
  )

const shown = (result: ExecutionResult): unknown => JSON.parse(JSON.stringify(result))

const answer = { data: { viewer: { role: "USER", user: { handle: "ada" } } } }

it("where no resolver waits the result itself comes, and where one does an Effect of the same", () =>
  Effect.gen(function* () {
    for (const [user, waits] of [
      [() => person, false],
      [() => Effect.succeed(person), false],
      [() => Effect.sync(() => person), false],
      [() => Effect.as(Effect.sleep("10 millis"), person), true],
      [() => Effect.as(Effect.yieldNow(), person), true]
    ] as const) {
      const { inFiber, without } = yield* make(user)
      const begun = without()
      expect(Effect.isEffect(begun)).toBe(waits)
      const fiber = yield* Effect.fork(Effect.isEffect(begun) ? begun : Effect.succeed(begun))
      const other = yield* Effect.fork(inFiber)
      yield* TestClock.adjust("10 millis")
      expect([shown(yield* fiber), shown(yield* other)]).toEqual([answer, answer])
    }
  }))

it("an operation without a fiber is counted and timed as one in a fiber is", () =>
  Effect.gen(function* () {
    const { inFiber, without } = yield* make(() => person)
    const answered = Metrics.series(Metrics.requests, "query", "ok")
    const seconds = Metrics.series(Metrics.requestSeconds, "query")
    const counts = Effect.all([
      Effect.map(Metric.value(answered), ({ count }) => count),
      Effect.map(Metric.value(seconds), ({ count }) => count),
      Effect.map(Metric.value(Metrics.requestQueries), ({ count }) => count)
    ])
    const grown = (run: Effect.Effect<unknown>) =>
      Effect.gen(function* () {
        const before = yield* counts
        yield* run
        return (yield* counts).map((count, index) => count - before[index]!)
      })
    expect(yield* grown(Effect.sync(without))).toEqual([1, 1, 1])
    expect(yield* grown(inFiber)).toEqual([1, 1, 1])
  }))

it("its failures leave as those in a fiber do: by their code, and a defect without its details", () =>
  Effect.gen(function* () {
    for (const [user, code] of [
      [() => Effect.fail(new NotFound({ what: "User" })), "NOT_FOUND"],
      [() => Effect.die(new Error("the password is hunter2")), "INTERNAL"],
      [
        () => {
          throw new Error("the password is hunter2")
        },
        "INTERNAL"
      ]
    ] as const) {
      const { inFiber, without } = yield* make(user)
      const begun = without()
      const results = [yield* inFiber, Effect.isEffect(begun) ? yield* begun : begun]
      for (const { errors = [] } of results) {
        expect(errors.map(({ extensions, path }) => [extensions["code"], path])).toEqual([[code, ["viewer", "user"]]])
        expect(JSON.stringify(errors)).not.toContain("hunter2")
      }
    }
  }))
