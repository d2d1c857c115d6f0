import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ExecutionResult } from "graphql"
import type { Shape } from "../config/Settings.ts"
import type { ConnectError } from "../errors.ts"
import { BadRequest, Forbidden } from "../errors.ts"
import * as Failures from "../graphql/Failures.ts"
import type { Operations } from "../graphql/Operations.ts"
import type { RequestContext } from "../graphql/Part.ts"
import type { Operation, Refused } from "../graphql/Prepared.ts"
import type { Quota } from "../rate/RateLimiter.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as answers from "./answers.ts"
import * as Client from "./Client.ts"
import type { Gate, Identity } from "./Gate.ts"
import type { Answer, Handler, Incoming } from "./Incoming.ts"
import type { MediaType } from "./mediaType.ts"
import { negotiate } from "./mediaType.ts"
import * as Parameters from "./Parameters.ts"

export interface Dependencies {
  readonly operations: Operations
  readonly gate: Context.Tag.Service<Gate>
  readonly http: Shape["http"]
}

/** A request as far as its headers tell. */
interface Asking {
  readonly incoming: Incoming
  readonly mediaType: MediaType
  readonly address: string
  readonly secure: boolean
  readonly token: string | undefined
}

const acceptable = "application/graphql-response+json, application/json"
const allow = "GET, POST, OPTIONS"

const refuse = (status: number, message: string, headers: Readonly<Record<string, string>> = {}): Answer =>
  answers.failure(new BadRequest({ message }), { status, headers })

const quotaHeaders = (quotas: ReadonlyArray<Quota>): Record<string, string> => {
  let tightest = quotas[0]
  if (tightest === undefined) return {}
  for (const quota of quotas) if (quota.remaining < tightest.remaining) tightest = quota
  return {
    "ratelimit-policy": quotas.map(({ rule, limit }) => `"${rule}";q=${limit}`).join(", "),
    ratelimit: `"${tightest.rule}";r=${tightest.remaining};t=${Math.ceil(tightest.resetMillis / 1_000)}`
  }
}

const contentTypes: { readonly [M in MediaType]: string } = {
  "application/graphql-response+json": "application/graphql-response+json; charset=utf-8",
  "application/json": "application/json; charset=utf-8"
}

/** Headers that most answers share, made once. */
const common = (mediaType: MediaType, secure: boolean): Readonly<Record<string, string>> => ({
  "content-type": contentTypes[mediaType],
  "cache-control": "no-store",
  ...answers.securityHeaders,
  ...(secure ? answers.strictTransport : {})
})

const headersOf: {
  readonly [M in MediaType]: readonly [plain: Record<string, string>, secure: Record<string, string>]
} = {
  "application/graphql-response+json": [
    common("application/graphql-response+json", false),
    common("application/graphql-response+json", true)
  ],
  "application/json": [common("application/json", false), common("application/json", true)]
}

/** A document that cannot run: its own status for those who know the newer media type, 200 for the others. */
const refusedStatus = (refused: Refused, mediaType: MediaType): number =>
  mediaType === "application/json" ? 200 : refused.errors.length > 0 ? 400 : 500

/** `/graphql` over HTTP: POST with JSON, and GET for queries. */
export const make = ({ operations, gate, http }: Dependencies): Handler => {
  const answer = (
    asking: Asking,
    status: number,
    body: string,
    quotas: ReadonlyArray<Quota>,
    cookie?: string
  ): Answer => {
    const headers = headersOf[asking.mediaType][asking.secure ? 1 : 0]
    if (quotas.length === 0 && cookie === undefined && http.allowedOrigins.length === 0) {
      return { status, headers, body }
    }
    const more = { ...headers, ...quotaHeaders(quotas), ...corsHeaders(asking.incoming, http) }
    if (cookie !== undefined) more["set-cookie"] = cookie
    return { status, headers: more, body }
  }

  /** Runs an operation for whoever it is. */
  const run = (
    asking: Asking,
    operation: Operation,
    variables: Parameters.Parameters["variables"],
    identity: Identity,
    quotas: ReadonlyArray<Quota>
  ): Effect.Effect<Answer> => {
    let cookie: string | undefined
    const request: RequestContext = {
      ...identity,
      token: Option.fromNullable(asking.token),
      address: asking.address,
      userAgent: Client.userAgentOf(asking.incoming),
      memo: new Map(),
      setSessionCookie: (token) => {
        cookie = Client.setCookie(token, asking.secure)
      }
    }
    return Effect.map(operations.run(operation, variables, request), (result: ExecutionResult) =>
      answer(
        asking,
        result.data === undefined && asking.mediaType !== "application/json" ? 400 : 200,
        operation.stringify(result),
        quotas,
        cookie
      )
    )
  }

  const prepared = (
    asking: Asking,
    parameters: Parameters.Parameters,
    identity: Identity,
    quotas: ReadonlyArray<Quota>
  ): Effect.Effect<Answer> => {
    const operation = operations.prepare(parameters.query, parameters.operationName)
    if ("errors" in operation) {
      Metrics.series(Metrics.requests, "none", String(operation.errors[0]?.extensions?.["code"])).unsafeUpdate(1, [])
      const status = refusedStatus(operation, asking.mediaType)
      return Effect.succeed(answer(asking, status, JSON.stringify({ errors: operation.errors }), quotas))
    }
    if (operation.type === "subscription") {
      return Effect.succeed(refuse(400, "Subscriptions go over a WebSocket (graphql-transport-ws) at this path"))
    }
    if (operation.type === "mutation" && asking.incoming.method === "GET") {
      return Effect.succeed(refuse(405, "Mutations go by POST", { allow: "POST" }))
    }
    return run(asking, operation, parameters.variables, identity, quotas)
  }

  const parametersOf = (incoming: Incoming): Effect.Effect<Parameters.Parameters, ConnectError> =>
    incoming.method === "GET"
      ? Parameters.fromSearch(incoming.search)
      : Effect.flatMap(incoming.text(http.bodyBytesMax), (text) => {
          Metrics.requestBytes.unsafeUpdate(text.length, [])
          return Parameters.fromJson(text)
        })

  const admitted = (asking: Asking): Effect.Effect<Answer, ConnectError> =>
    Effect.gen(function* () {
      const charged = yield* gate.address(asking.address)
      const parameters = yield* parametersOf(asking.incoming)
      const identity = yield* gate.identify(asking.token)
      const quotas = Option.isNone(identity.session)
        ? charged
        : [...charged, ...(yield* gate.viewer(identity.session.value))]
      return yield* prepared(asking, parameters, identity, quotas)
    })

  return (incoming) => {
    const { method } = incoming
    if (method === "OPTIONS") return Effect.succeed(preflight(incoming, http))
    if (method !== "GET" && method !== "POST") return Effect.succeed(answers.methodNotAllowed(allow))
    const mediaType = negotiate(incoming.header("accept"))
    if (mediaType === undefined) return Effect.succeed(refuse(406, `Accept must allow one of ${acceptable}`))
    if (method === "POST" && !Parameters.isJson(incoming)) {
      return Effect.succeed(refuse(415, "Content-Type must be application/json, in UTF-8"))
    }
    const bearer = Client.bearerToken(incoming)
    const cookie = bearer === undefined ? Client.cookieToken(incoming) : undefined
    if (cookie !== undefined && !Client.isOwnOrigin(incoming, http)) {
      const message = "The session cookie is not accepted from another origin"
      return Effect.succeed(answers.failure(new Forbidden({ message })))
    }
    const asking: Asking = {
      incoming,
      mediaType,
      address: Client.addressOf(incoming, http),
      secure: Client.isSecure(incoming, http),
      token: bearer ?? cookie
    }
    return Effect.catchAllCause(admitted(asking), (cause) => {
      const failure = Failures.connectErrorOf(cause)
      const headers = corsHeaders(incoming, http)
      if (failure !== undefined) return Effect.succeed(answers.failure(failure, { headers }))
      return Effect.map(Failures.internal(cause), (error) => answers.json(500, { errors: [error] }, headers))
    })
  }
}

const corsHeaders = (incoming: Incoming, trust: Client.Trust): Record<string, string> => {
  const origin = Client.allowedOrigin(incoming, trust)
  return origin === undefined
    ? {}
    : {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "ratelimit, ratelimit-policy, retry-after",
        vary: "origin"
      }
}

/** What a browser asks before a request from an allowed origin. Others are told nothing, and so do not ask further. */
const preflight = (incoming: Incoming, trust: Client.Trust): Answer => ({
  status: 204,
  headers: {
    ...answers.securityHeaders,
    allow,
    ...corsHeaders(incoming, trust),
    ...(Client.allowedOrigin(incoming, trust) === undefined
      ? {}
      : {
          "access-control-allow-methods": "GET, POST",
          "access-control-allow-headers": "authorization, content-type",
          "access-control-max-age": "600"
        })
  },
  body: null
})
