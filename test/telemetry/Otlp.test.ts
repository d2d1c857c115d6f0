import { expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as fs from "node:fs"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as Otlp from "../../layers/telemetry/Otlp.ts"
import * as Telemetry from "../../layers/Telemetry.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { sampled } from "../../src/telemetry/Sampling.ts"
import { it } from "../kit/effect.ts"

interface Received {
  readonly path: string
  readonly body: string
}

/** An OTLP collector that keeps what it is sent. */
const collector = Effect.acquireRelease(
  Effect.sync(() => {
    const received: Array<Received> = []
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async (request) => {
        received.push({ path: new URL(request.url).pathname, body: await request.text() })
        return new Response("{}")
      }
    })
    return { received, server, endpoint: `http://127.0.0.1:${server.port}/` }
  }),
  ({ server }) => Effect.promise(() => server.stop(true))
)

const sentTo = (received: ReadonlyArray<Received>, path: string) =>
  received.filter((request) => request.path === path).map(({ body }) => body)

it.live("spans and metrics reach the collector under the program's name when the scope closes", () =>
  Effect.gen(function* () {
    const { endpoint, received } = yield* collector
    yield* Metric.increment(Metrics.slowQueries).pipe(
      Effect.withSpan("inner"),
      Effect.withSpan("sendMessage", { attributes: { operation: "mutation" } }),
      Effect.provide(Otlp.layer({ endpoint, service: "communication", traceSampleRate: 1 }))
    )
    const traces = sentTo(received, "/v1/traces").join("")
    expect(traces).toContain('"name":"sendMessage"')
    expect(traces).toContain('"name":"inner"')
    expect(traces).toContain("communication")
    expect(sentTo(received, "/v1/metrics").join("")).toContain("connect_database_slow_queries_total")
  })
)

it.live("at a sample rate of 0 no span is sent, metrics are", () =>
  Effect.gen(function* () {
    const { endpoint, received } = yield* collector
    yield* Effect.void.pipe(
      Effect.withSpan("sendMessage"),
      Effect.provide(Otlp.layer({ endpoint, service: "communication", traceSampleRate: 0 }))
    )
    expect(sentTo(received, "/v1/traces")).toEqual([])
    expect(sentTo(received, "/v1/metrics").length).toBeGreaterThan(0)
  })
)

it.live("a collector that is away does not hold the program up", () =>
  Effect.gen(function* () {
    const options: Otlp.Options = {
      endpoint: "http://127.0.0.1:1",
      service: "user",
      traceSampleRate: 1,
      shutdownTimeout: "50 millis"
    }
    const result = yield* Effect.succeed(1).pipe(Effect.withSpan("work"), Effect.provide(Otlp.layer(options)))
    expect(result).toBe(1)
  })
)

it.live("with an endpoint in the settings the program traces, without one it makes no spans", () =>
  Effect.gen(function* () {
    const { endpoint, received } = yield* collector
    const settings = (otlpEndpoint: Option.Option<string>) =>
      Settings.layerTest((shape) => ({ ...shape, metrics: { ...shape.metrics, otlpEndpoint, traceSampleRate: 1 } }))
    const spanId = Effect.currentSpan.pipe(
      Effect.map((span) => span.spanId),
      Effect.withSpan("request")
    )
    const off = Telemetry.layerExport("user").pipe(Layer.provide(settings(Option.none())))
    expect(yield* Effect.provide(spanId, off)).toBe("noop")
    const on = Telemetry.layerExport("user").pipe(Layer.provide(settings(Option.some(endpoint))))
    const id = yield* Effect.provide(spanId, on)
    expect(sentTo(received, "/v1/traces").join("")).toContain(id)
  })
)

/** A tracer that notes the names of the spans that ended. */
const recording = (ended: Array<string>) => {
  let traces = 0
  return Tracer.make({
    context: (f) => f(),
    span: (name, parent, context, links, startTime, kind) => ({
      _tag: "Span",
      name,
      parent,
      context,
      links,
      kind,
      attributes: new Map(),
      sampled: true,
      // Trace ids whose last 32 bits are spread evenly, so that the share is exact.
      traceId: Option.isSome(parent)
        ? parent.value.traceId
        : `${"0".repeat(24)}${((traces++ * 0x10000000) % 2 ** 32).toString(16).padStart(8, "0")}`,
      spanId: name,
      status: { _tag: "Started", startTime },
      end: () => ended.push(name),
      attribute: () => {},
      event: () => {},
      addLinks: () => {}
    })
  })
}

it("a quarter of the traces is kept, each with all its spans or none", () =>
  Effect.gen(function* () {
    const ended: Array<string> = []
    const work = Effect.void.pipe(Effect.withSpan("child"), Effect.withSpan("root"))
    let step = 0
    const quarters = () => (step++ % 4) / 4
    yield* Effect.repeatN(work, 63).pipe(Effect.withTracer(sampled(recording(ended), 0.25, quarters)))
    expect(ended.filter((name) => name === "root")).toHaveLength(16)
    expect(ended.filter((name) => name === "child")).toHaveLength(16)
  }))

it("a caller who is not sampled is not sampled here either", () =>
  Effect.gen(function* () {
    const ended: Array<string> = []
    const parent = Tracer.externalSpan({ traceId: "0".repeat(32), spanId: "1".repeat(16), sampled: false })
    const traceId = yield* Effect.currentSpan.pipe(
      Effect.map((span) => span.traceId),
      Effect.withSpan("root", { parent }),
      Effect.withTracer(sampled(recording(ended), 1, () => 0))
    )
    expect(ended).toEqual([])
    expect(traceId).toBe("0".repeat(32))
  }))

/** The modules a file of ours loads at its start, itself included; not what it imports when it is asked to. */
const loadedBy = (path: string, seen = new Set<string>()): ReadonlySet<string> => {
  if (seen.has(path)) return seen
  seen.add(path)
  const imports = new Bun.Transpiler({ loader: "ts" }).scanImports(fs.readFileSync(path, "utf8"))
  for (const { kind, path: specifier } of imports) {
    if (kind !== "import-statement") continue
    if (specifier.startsWith(".")) loadedBy(fileURLToPath(new URL(specifier, pathToFileURL(path))), seen)
    else seen.add(specifier)
  }
  return seen
}

test("nothing of OTLP is loaded before it is on", () => {
  const loaded = [...loadedBy(fileURLToPath(new URL("../../layers/Telemetry.ts", import.meta.url)))]
  expect(loaded).toContain("effect/Layer")
  expect(loaded.filter((name) => /opentelemetry|HttpClient|Otlp/.test(name))).toEqual([])
})
