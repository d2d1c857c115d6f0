import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Shape } from "../../src/config/Settings.ts"
import * as answers from "../../src/request/answers.ts"
import type { Answer, Handler } from "../../src/request/Incoming.ts"
import type { Health } from "../../src/telemetry/Health.ts"
import * as HealthReport from "../../src/telemetry/Health.ts"
import * as Prometheus from "../../src/telemetry/Prometheus.ts"

const read =
  (answer: Effect.Effect<Answer>): Handler =>
  ({ method }) => {
    if (method === "GET") return answer
    return method === "HEAD"
      ? Effect.map(answer, (whole) => ({ ...whole, body: null }))
      : Effect.succeed(answers.methodNotAllowed("GET, HEAD"))
  }

/** What load balancers and Prometheus ask: live, ready, health with its checks, metrics. */
export const routes = (
  health: Context.Tag.Service<Health>,
  metrics: Shape["metrics"]
): ReadonlyArray<{ readonly path: string; readonly handler: Handler }> => [
  { path: "/health/live", handler: read(Effect.succeed(answers.json(200, { status: "pass" }))) },
  {
    path: "/health/ready",
    handler: read(
      Effect.map(health.ready, (ready) => answers.json(ready ? 200 : 503, { status: ready ? "pass" : "fail" }))
    )
  },
  {
    path: "/health",
    handler: (incoming) =>
      read(
        Effect.map(health.report, (report) =>
          answers.json(
            report.status === "fail" ? 503 : 200,
            HealthReport.toJson(report, incoming.search === "?history"),
            { "content-type": HealthReport.contentType }
          )
        )
      )(incoming)
  },
  ...(metrics.enabled
    ? [
        {
          path: metrics.path,
          handler: read(
            Effect.map(Prometheus.exposition, (body) => ({
              status: 200,
              headers: {
                ...answers.securityHeaders,
                "content-type": Prometheus.contentType,
                "cache-control": "no-store"
              },
              body
            }))
          )
        }
      ]
    : [])
]
