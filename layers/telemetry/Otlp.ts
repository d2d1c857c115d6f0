import * as OtlpMetrics from "@effect/opentelemetry/OtlpMetrics"
import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import * as OtlpTracer from "@effect/opentelemetry/OtlpTracer"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { sampled } from "../../src/telemetry/Sampling.ts"

/** Where to send, and how often. `endpoint` is the collector's base URL, such as http://127.0.0.1:4318. */
export interface Options {
  readonly endpoint: string
  readonly service: string
  readonly traceSampleRate: number
  readonly traceInterval?: Duration.DurationInput
  readonly metricsInterval?: Duration.DurationInput
  /** Time to send what is left when the scope closes: 2 s unless given. */
  readonly shutdownTimeout?: Duration.DurationInput
}

/**
 * Traces and metrics by OTLP over HTTP with JSON. A collector that is away costs nothing but its data: the exporter
 * pauses for a minute and tries again. What is left is sent when the scope closes.
 */
export const layer = (options: Options): Layer.Layer<never> => {
  const url = (path: string) => `${options.endpoint.replace(/\/+$/, "")}${path}`
  const shutdownTimeout = options.shutdownTimeout ?? "2 seconds"
  const resource = { serviceName: options.service }
  const traces = Layer.unwrapScoped(
    Effect.map(
      OtlpTracer.make({
        url: url("/v1/traces"),
        resource,
        exportInterval: options.traceInterval ?? "5 seconds",
        shutdownTimeout
      }),
      (tracer) => Layer.setTracer(sampled(tracer, options.traceSampleRate, Math.random))
    )
  )
  const metrics = OtlpMetrics.layer({
    url: url("/v1/metrics"),
    resource,
    exportInterval: options.metricsInterval ?? "10 seconds",
    shutdownTimeout
  })
  return Layer.merge(traces, metrics).pipe(
    Layer.provide(OtlpSerialization.layerJson),
    Layer.provide(FetchHttpClient.layer)
  )
}
