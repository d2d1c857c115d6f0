import { expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Supervised from "../../src/actor/Supervised.ts"
import * as Health from "../../src/telemetry/Health.ts"
import { it } from "../kit/effect.ts"

const layer = Health.layer.pipe(Layer.provide(Supervised.Registry.layer))

/** A check whose outcome the test changes. */
const switchable = (name: string, critical: boolean) => {
  const state: { status: Health.Status; runs: number } = { status: "pass", runs: 0 }
  const run = Effect.sync((): Health.Outcome => {
    state.runs++
    return { status: state.status }
  })
  return { state, check: { name, critical, run } }
}

it("checks run once at registration and each 5 s after", () =>
  Effect.gen(function* () {
    const health = yield* Health.Health
    const { check, state } = switchable("database", true)
    yield* health.register(check)
    expect(state.runs).toBe(1)
    yield* TestClock.adjust("5 seconds")
    expect(state.runs).toBe(2)
    yield* TestClock.adjust("10 seconds")
    expect(state.runs).toBe(4)
  }).pipe(Effect.provide(layer)))

it("a critical check that fails turns readiness red, and green again when it passes", () =>
  Effect.gen(function* () {
    const health = yield* Health.Health
    const { check, state } = switchable("database", true)
    yield* health.register(check)
    expect(yield* health.ready).toBe(true)
    state.status = "fail"
    yield* TestClock.adjust("5 seconds")
    expect(yield* health.ready).toBe(false)
    expect((yield* health.report).status).toBe("fail")
    state.status = "pass"
    yield* TestClock.adjust("5 seconds")
    expect(yield* health.ready).toBe(true)
    expect((yield* health.report).status).toBe("pass")
  }).pipe(Effect.provide(layer)))

it("any other check that fails is a warning, and readiness stays green", () =>
  Effect.gen(function* () {
    const health = yield* Health.Health
    const { check, state } = switchable("cache", false)
    state.status = "fail"
    yield* health.register(check)
    expect((yield* health.report).status).toBe("warn")
    expect((yield* health.report).checks["cache"]?.status).toBe("fail")
    expect(yield* health.ready).toBe(true)
  }).pipe(Effect.provide(layer)))

it("a check that does not answer fails after its timeout and holds no other up", () =>
  Effect.gen(function* () {
    const health = yield* Health.Health
    const { check, state } = switchable("cache", false)
    yield* health.register(check)
    const stuck = { name: "database", critical: true, run: Effect.never, timeout: "1 second" } as const
    yield* Effect.fork(health.register(stuck))
    yield* TestClock.adjust("1 second")
    expect((yield* health.report).checks["database"]?.details).toBe("No answer within 1000 ms")
    yield* TestClock.adjust("10 seconds")
    expect(state.runs).toBe(3)
  }).pipe(Effect.provide(layer)))

it("a check that can be neither answered nor interrupted is never run twice at once", () =>
  Effect.gen(function* () {
    const health = yield* Health.Health
    let started = 0
    const run = Effect.suspend(() => {
      started++
      return Effect.uninterruptible(Effect.never)
    })
    yield* Effect.fork(health.register({ name: "database", critical: true, run }))
    yield* TestClock.adjust("1 minute")
    expect(started).toBe(1)
    expect((yield* health.report).checks["database"]?.details).toBe("The last run has not ended")
  }).pipe(Effect.provide(layer)))

it("a check that breaks fails with the reason, and the others go on", () =>
  Effect.gen(function* () {
    const health = yield* Health.Health
    yield* health.register({ name: "database", critical: true, run: Effect.die(new Error("no such table")) })
    expect((yield* health.report).checks["database"]).toMatchObject({
      status: "fail",
      details: "The check failed: Error: no such table"
    })
  }).pipe(Effect.provide(layer)))

it("fifty outcomes are kept, the newest last", () =>
  Effect.gen(function* () {
    const health = yield* Health.Health
    const { check, state } = switchable("database", true)
    yield* health.register(check)
    yield* TestClock.adjust("5 minutes")
    state.status = "fail"
    yield* TestClock.adjust("5 seconds")
    const history = (yield* health.report).checks["database"]!.history
    expect(history).toHaveLength(Health.historyKept)
    expect(history.at(-1)).toEqual({ status: "fail", at: new Date(305_000) })
    expect(history.at(-2)?.status).toBe("pass")
  }).pipe(Effect.provide(layer)))

it("a check is gone when its scope closes", () =>
  Effect.gen(function* () {
    const health = yield* Health.Health
    const scope = yield* Scope.make()
    const { check, state } = switchable("database", true)
    state.status = "fail"
    yield* Scope.extend(health.register(check), scope)
    expect(yield* health.ready).toBe(false)
    yield* Scope.close(scope, Exit.void)
    expect(yield* health.ready).toBe(true)
    expect((yield* health.report).checks).toEqual({})
  }).pipe(Effect.provide(layer)))

it("draining turns readiness red for good", () =>
  Effect.gen(function* () {
    const health = yield* Health.Health
    yield* health.drain
    yield* TestClock.adjust("1 minute")
    expect(yield* health.ready).toBe(false)
    expect((yield* health.report).status).toBe("pass")
  }).pipe(Effect.provide(layer)))

test("the JSON form has the status, each check by name with its time, and the figures", () => {
  const at = new Date(1_000)
  const report: Health.Report = {
    status: "warn",
    checks: {
      database: { status: "pass", observed: { roundTripMillis: 2 }, at, history: [{ status: "pass", at }] },
      cache: { status: "fail", details: "The store does not answer", at, history: [] }
    },
    metrics: { requests: 3 }
  }
  expect(Health.toJson(report, false).checks["database"]).not.toHaveProperty("history")
  expect(JSON.parse(JSON.stringify(Health.toJson(report, true)))).toEqual({
    status: "warn",
    checks: {
      database: {
        status: "pass",
        time: "1970-01-01T00:00:01.000Z",
        observed: { roundTripMillis: 2 },
        history: [{ status: "pass", time: "1970-01-01T00:00:01.000Z" }]
      },
      cache: { status: "fail", time: "1970-01-01T00:00:01.000Z", output: "The store does not answer", history: [] }
    },
    metrics: { requests: 3 }
  })
})
