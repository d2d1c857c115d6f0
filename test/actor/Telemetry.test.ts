import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as MetricState from "effect/MetricState"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import { it } from "../kit/effect.ts"

const Worker = Actor.make("TracedWorker", {
  protocol: [
    Rpc.make("Work", { payload: { millis: Schema.Int } }),
    Rpc.make("Later", { payload: { millis: Schema.Int } }),
    Rpc.make("Pass", { payload: { to: Schema.String } }),
    Rpc.make("Boom")
  ],
  askTimeout: "5 seconds"
})

const layer = Worker.toLayer(() =>
  Effect.gen(function* () {
    const client = yield* Worker.client
    return {
      Work: ({ millis }) => Effect.withSpan(Effect.sleep(millis), "inside"),
      Later: ({ millis }) => Actor.later(Effect.sleep(millis)),
      Pass: ({ to }) => Effect.orDie(client.ask(to).Work({ millis: 0 })),
      Boom: () => Effect.die(new Error("boom"))
    }
  })
).pipe(Layer.provideMerge(ActorSystem.layerTest), Layer.provide(Logger.remove(Logger.defaultLogger)))

/** A tracer that keeps its spans, and each span as `name below parent`. */
const collecting = Effect.map(Effect.tracer, (native) => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    context: (f) => f(),
    span: (...args) => {
      const span = native.span(...args)
      spans.push(span)
      return span
    }
  })
  const nameOf = (span: Tracer.AnySpan) => (span._tag === "Span" ? span.name : "outside")
  const tree = () =>
    spans.map((span) => `${span.name} below ${Option.match(span.parent, { onNone: () => "none", onSome: nameOf })}`)
  return { spans, tracer, tree }
})

it("a message has a span below its sender's, what it does lies below that, and so on from actor to actor", () =>
  Effect.gen(function* () {
    const { spans, tracer, tree } = yield* collecting
    const client = yield* Worker.client
    yield* client.ask("a").Pass({ to: "b" }).pipe(Effect.withSpan("caller"), Effect.withTracer(tracer))
    expect(tree()).toEqual([
      "caller below none",
      "TracedWorker/Pass below caller",
      "TracedWorker/Work below TracedWorker/Pass",
      "inside below TracedWorker/Work"
    ])
    expect(spans.map(({ kind, status }) => [kind, status._tag])).toEqual([
      ["internal", "Ended"],
      ["consumer", "Ended"],
      ["consumer", "Ended"],
      ["internal", "Ended"]
    ])
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1)
  }).pipe(Effect.provide(layer)))

it("a span lasts until the reply, and a defect is its end", () =>
  Effect.gen(function* () {
    const { spans, tracer } = yield* collecting
    const client = yield* Worker.client
    const traced = <A, E>(ask: Effect.Effect<A, E>) =>
      Effect.fork(Effect.exit(ask).pipe(Effect.withSpan("caller"), Effect.withTracer(tracer)))
    const asks = [yield* traced(client.ask("a").Later({ millis: 300 })), yield* traced(client.ask("b").Boom())]
    yield* TestClock.adjust("300 millis")
    yield* Fiber.joinAll(asks)
    const ends = new Map(spans.map(({ name, status }) => [name, status._tag === "Ended" ? status : undefined]))
    const later = ends.get("TracedWorker/Later")!
    expect(Number(later.endTime - later.startTime)).toBe(300_000_000)
    const boom = ends.get("TracedWorker/Boom")!
    expect(Exit.isFailure(boom.exit) && String(boom.exit.cause)).toContain("ActorCrashed")
  }).pipe(Effect.provide(layer)))

it("a message of a trace that is not sampled, or of none, has no span", () =>
  Effect.gen(function* () {
    const { spans, tracer } = yield* collecting
    const client = yield* Worker.client
    const unsampled = Tracer.externalSpan({ traceId: "1".repeat(32), spanId: "1".repeat(16), sampled: false })
    yield* client.ask("a").Pass({ to: "b" }).pipe(Effect.withParentSpan(unsampled), Effect.withTracer(tracer))
    yield* client.ask("a").Pass({ to: "b" }).pipe(Effect.withTracer(tracer))
    expect(spans.filter(({ name }) => name.startsWith("TracedWorker"))).toEqual([])
  }).pipe(Effect.provide(layer)))

it("metrics count per actor type, never per id: depth and waiting time as histograms", () =>
  Effect.gen(function* () {
    const client = yield* Worker.client
    const before = yield* series
    const asks = Array.from({ length: 40 }, (_, i) => client.ask(`worker-${i % 10}`).Work({ millis: 100 }))
    const all = yield* Effect.fork(Effect.all(asks, { concurrency: "unbounded" }))
    yield* TestClock.adjust("400 millis")
    yield* Fiber.join(all)
    const after = yield* series
    expect(after.flatMap(({ tags }) => tags).filter((tag) => tag.includes("worker-"))).toEqual([])
    expect(after.filter(({ tags }) => tags.join() === "actor=TracedWorker").length).toBeGreaterThan(5)
    const grown = (name: string) => sumOf(after, name) - sumOf(before, name)
    // Of the four for each actor the first waits for nobody, the others 100, 200 and 300 ms behind 0, 1 and 2.
    expect(grown("connect_actor_mailbox_wait_seconds")).toBeCloseTo(10 * 0.6)
    expect(grown("connect_actor_mailbox_depth")).toBe(10 * 3)
    expect(grown("connect_actor_messages_total")).toBe(40)
  }).pipe(Effect.provide(layer)))

interface Series {
  readonly name: string
  readonly tags: ReadonlyArray<string>
  readonly sum: number
}

const series = Effect.map(Metric.snapshot, (pairs) =>
  pairs
    .filter(({ metricKey }) => metricKey.name.startsWith("connect_actor_"))
    .map(({ metricKey, metricState }): Series => {
      const tags = metricKey.tags.map(({ key, value }) => `${key}=${value}`)
      const sum = MetricState.isHistogramState(metricState)
        ? metricState.sum
        : MetricState.isCounterState(metricState)
          ? Number(metricState.count)
          : 0
      return { name: metricKey.name, tags, sum }
    })
)

const sumOf = (all: ReadonlyArray<Series>, name: string): number =>
  all.find((one) => one.name === name && one.tags.join() === "actor=TracedWorker")?.sum ?? 0
