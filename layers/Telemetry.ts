import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Settings } from "../src/config/Settings.ts"
import type { Database } from "../src/database/Database.ts"
import type { Sessions } from "../src/session/Sessions.ts"
import type { Store } from "../src/store/Store.ts"
import * as Alerts from "../src/telemetry/Alerts.ts"
import * as checks from "../src/telemetry/checks.ts"
import * as Collector from "../src/telemetry/Collector.ts"
import * as Health from "../src/telemetry/Health.ts"
import * as Metrics from "../src/telemetry/Metrics.ts"
import * as Process from "../src/telemetry/Process.ts"
import * as Logging from "./telemetry/Logging.ts"
import * as ProcessLayer from "./telemetry/Process.ts"

/** What a program needs to be seen from outside: health, alerts, the figures of its process. */
export const layer: Layer.Layer<Health.Health | Alerts.Alerts | Process.Process, never, Database | Store> =
  Layer.mergeAll(
    Alerts.layer(),
    checks.layer,
    Process.sampler,
    Collector.layer,
    Layer.effectDiscard(Metrics.register)
  ).pipe(Layer.provideMerge(Layer.merge(Health.layer, ProcessLayer.layer)))

/** The health check of the sessions, for programs that know them. */
export const layerSessions: Layer.Layer<never, never, Health.Health | Sessions> = checks.layerSessions

/**
 * Logs and traces under the program's name. Provide it below everything else: a fiber logs and traces as the layer it
 * was built on says, so what is built earlier goes to Effect's default logger.
 */
export const layerRuntime = (service: string): Layer.Layer<never, never, Settings> =>
  layerExport(service).pipe(Layer.provideMerge(Logging.layer(service)))

/**
 * Traces and metrics by OTLP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set; otherwise no spans are made at all. Loaded only
 * when it is on, because the exporter and its HTTP client cost memory.
 */
export const layerExport = (service: string): Layer.Layer<never, never, Settings> =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const { metrics } = yield* Settings
      if (Option.isNone(metrics.otlpEndpoint)) return Layer.setTracerEnabled(false)
      const Otlp = yield* Effect.promise(() => import("./telemetry/Otlp.ts"))
      const { traceSampleRate } = metrics
      return Otlp.layer({ endpoint: metrics.otlpEndpoint.value, service, traceSampleRate })
    })
  )
