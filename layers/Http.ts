import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Tags } from "../src/cache/Tags.ts"
import { Settings } from "../src/config/Settings.ts"
import type { StartupError } from "../src/config/StartupError.ts"
import { Overloaded } from "../src/errors.ts"
import { assemble } from "../src/graphql/assemble.ts"
import * as Operations from "../src/graphql/Operations.ts"
import type { Part } from "../src/graphql/Part.ts"
import type { RateLimiter } from "../src/rate/RateLimiter.ts"
import * as Admission from "../src/request/Admission.ts"
import * as answers from "../src/request/answers.ts"
import * as Gate from "../src/request/Gate.ts"
import * as GraphqlHttp from "../src/request/GraphqlHttp.ts"
import * as GraphqlSocket from "../src/request/GraphqlSocket.ts"
import * as GraphqlStream from "../src/request/GraphqlStream.ts"
import * as Host from "../src/request/Host.ts"
import type { Answer, Handler, Incoming } from "../src/request/Incoming.ts"
import * as ResponseCache from "../src/request/ResponseCache.ts"
import { idleSeconds } from "../src/request/socketLimits.ts"
import type { Sessions } from "../src/session/Sessions.ts"
import { Health } from "../src/telemetry/Health.ts"
import * as Metrics from "../src/telemetry/Metrics.ts"
import * as Documents from "./http/Documents.ts"
import type { Options } from "./http/options.ts"
import * as Pages from "./http/Pages.ts"
import * as Probes from "./http/Probes.ts"
import type { Bound, Serving } from "./http/Serving.ts"
import * as Requests from "./http/Serving.ts"

/** Where a program answers. */
export class Address extends Context.Tag("@connect/Address")<
  Address,
  { readonly url: string; readonly host: string; readonly port: number }
>() {}

/** One more path of a program. */
export interface Route {
  readonly path: string
  readonly handler: Handler
}

export const graphqlPath = "/graphql"
/** Operations as server-sent events. */
export const streamPath = "/graphql/stream"

/** The server of the runtime that this runs on; only that one is loaded. */
const listen = (serving: Serving, options: Options): Effect.Effect<Bound, StartupError, Scope.Scope> =>
  "Bun" in globalThis
    ? Effect.flatMap(
        Effect.promise(() => import("./http/Bun.ts")),
        ({ serve }) => serve(serving, options)
      )
    : Effect.flatMap(
        Effect.promise(() => import("./http/Node.ts")),
        ({ serve }) => serve(serving, options)
      )

/** The path's handler; what has none is not found. */
const router =
  (routes: ReadonlyMap<string, Handler>, fallback: Handler): Handler =>
  (incoming) =>
    (routes.get(incoming.path) ?? fallback)(incoming)

/** Counts answers by route and class of status; each series is looked for once. */
const counting = (routes: ReadonlyMap<string, Handler>) => {
  const known = new Map<string, Array<Metric.Metric.Counter<number>>>()
  return ({ path }: Incoming, { status }: Answer): void => {
    const route = routes.has(path) ? path : "other"
    let series = known.get(route)
    if (series === undefined) known.set(route, (series = []))
    const hundred = Math.trunc(status / 100)
    const answered = (series[hundred] ??= Metrics.series(Metrics.responses, route, `${hundred}xx`))
    answered.unsafeUpdate(1, [])
  }
}

const draining = answers.failure(new Overloaded({ retryAfterMillis: 5_000 }))

const refused = (): Answer => {
  Metrics.series(Metrics.requestsShed, "unknown", "draining").unsafeUpdate(1, [])
  return draining
}

/** What one program serves. `port` is its own, where the settings name none. */
export interface Program<E, R> {
  readonly name: string
  readonly port: number
  readonly parts: Effect.Effect<ReadonlyArray<Part>, E, R>
  readonly routes?: ReadonlyArray<Route>
}

const start = <E, R>(program: Program<E, R>) =>
  Effect.gen(function* () {
    const settings = yield* Settings
    const { http, metrics } = settings
    const health = yield* Health
    const gate = yield* Gate.Gate
    const parts = yield* program.parts
    const persisted = yield* Documents.persisted(http.documents)
    const operations = Operations.make(yield* Effect.sync(() => assemble(parts)), settings, persisted)
    const responses = yield* Effect.if(http.responseCache, {
      onTrue: () => Effect.asSome(ResponseCache.make({ ttlMillis: Duration.toMillis(http.responseCacheTtl) })),
      onFalse: () => Effect.succeedNone
    })
    const { overload, database } = settings
    // With fewer connections than places the others would only wait for them, where no class goes first.
    const placesMin = Math.min(overload.placesMin, database.poolMax)
    const admission = yield* Admission.make({ ...overload, placesMin })
    const sockets = yield* GraphqlSocket.make({ operations, gate, admission, http })
    const streams = yield* GraphqlStream.make({ operations, gate, admission, http })
    const graphql = yield* GraphqlHttp.make({ operations, gate, admission, http, responses })
    let isDraining = false
    const whileServing =
      (handler: Handler): Handler =>
      (incoming) =>
        isDraining ? refused() : handler(incoming)

    const probes = Probes.routes(health, metrics)
    const routes = new Map<string, Handler>([
      [graphqlPath, whileServing(graphql)],
      [streamPath, whileServing(streams.handler)],
      ...[...probes, ...Pages.routes(program.name, http), ...(program.routes ?? [])].map(
        ({ path, handler }) => [path, handler] as const
      )
    ])
    const requests = yield* Requests.requests(
      Host.checked(router(routes, Pages.assets(http)), http, new Set(probes.map(({ path }) => path))),
      http.requestTimeout,
      counting(routes)
    )
    const bound = yield* listen(
      { answer: requests.answer, sockets },
      {
        host: http.host,
        port: Option.getOrElse(http.port, () => program.port),
        idleSeconds,
        socketPath: graphqlPath,
        paths: [...routes.keys()]
      }
    )

    // Ready turns red and each answer ends its connection; load balancers have seen it when no more work is taken. What is
    // in flight ends. Whoever still asks, on a connection that was idle, is answered, until the server stops (the scope's
    // next step).
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        yield* health.drain
        yield* Metric.set(Metrics.draining, 1)
        yield* requests.leave
        yield* Effect.sleep(http.drainGrace)
        isDraining = true
        yield* sockets.drain
        yield* streams.drain
        yield* requests.finish(bound.unsent, http.drainTimeout)
        yield* Requests.emptied(sockets.size, "1 second")
        yield* requests.quiet
      })
    )
    const shown = bound.host === "0.0.0.0" ? "127.0.0.1" : bound.host.includes(":") ? `[${bound.host}]` : bound.host
    return { ...bound, url: `http://${shown}:${bound.port}` }
  })

/**
 * Serves a program's part of the schema at `/graphql` (HTTP and WebSocket), its health and metrics, and the pages.
 * Fails with StartupError when the address cannot be had. When the scope closes it drains within
 * `Settings.http.drainTimeout`.
 */
export const serve = <E, R>(
  program: Program<E, R>
): Layer.Layer<
  Address,
  StartupError | E,
  Exclude<R, Gate.Gate | Scope.Scope> | Settings | Sessions | RateLimiter | Tags | Health
> => Layer.scoped(Address, start(program)).pipe(Layer.provide(Gate.layer)) as never
