import { expect, test } from "bun:test"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as Sampling from "../../src/telemetry/Sampling.ts"

/** A tracer that counts what is exported, and the same steps of chance each time. */
const counting = (rate: number) => {
  const exported: Array<string> = []
  const inner = Tracer.make({
    context: (execution) => execution(),
    span: (name, parent, context, links, startTime, kind) => {
      exported.push(name)
      const traceId = Option.isSome(parent) ? parent.value.traceId : `${exported.length}`.padStart(32, "0")
      return {
        _tag: "Span",
        name,
        parent,
        context,
        links,
        kind,
        traceId,
        spanId: "0".repeat(16),
        status: { _tag: "Started", startTime },
        sampled: true,
        attributes: new Map(),
        end: () => {},
        attribute: () => {},
        event: () => {},
        addLinks: () => {}
      }
    }
  })
  let step = 0
  const tracer = Sampling.sampled(inner, rate, () => (step++ % 1_000) / 1_000)
  return {
    exported,
    tracer,
    run: <A>(effect: Effect.Effect<A>) => Effect.runSync(Effect.provide(effect, Layer.setTracer(tracer)))
  }
}

test("of 10,000 traces one in a hundred is exported, with all that is in it", () => {
  const { exported, run } = counting(0.01)
  for (let i = 0; i < 10_000; i++) run(Effect.void.pipe(Effect.withSpan("child"), Effect.withSpan("request")))
  expect(exported.filter((name) => name === "request").length).toBe(100)
  expect(exported.filter((name) => name === "child").length).toBe(100)
})

test("a sampled parent is always followed, and one that is not never", () => {
  const { exported, run } = counting(0.5)
  for (let i = 0; i < 100; i++) {
    for (const sampled of [true, false]) {
      const parent = Tracer.externalSpan({ traceId: "a".repeat(32), spanId: "b".repeat(16), sampled })
      run(Effect.void.pipe(Effect.withSpan(String(sampled), { parent })))
    }
  }
  expect(exported).toEqual(Array.from({ length: 100 }, () => "true"))
})

test("what is chosen before its span is not left to chance again", () => {
  const { exported, run, tracer } = counting(0)
  expect(Sampling.takesNext(tracer)).toBe(false)
  run(Effect.void.pipe(Effect.withSpan("request", { context: Context.merge(Context.empty(), Sampling.chosen) })))
  expect(exported).toEqual(["request"])
})

test("a span that nobody sees has ids all the same, the trace's being its parent's", () => {
  const { run } = counting(0)
  const ids = run(Effect.currentSpan.pipe(Effect.orDie, Effect.withSpan("request")))
  expect(ids.sampled).toBe(false)
  expect(ids.traceId).toMatch(/^[0-9a-f]{32}$/)
  expect(ids.spanId).toMatch(/^[0-9a-f]{16}$/)
  expect(ids.traceId).toBe(ids.traceId)
})
