import type * as Context from "effect/Context"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { ExecutionResult } from "graphql"
import type { Shape } from "../config/Settings.ts"
import type { ConnectError, DeadlineExceeded, Overloaded, RateLimited } from "../errors.ts"
import { BadRequest, PayloadTooLarge } from "../errors.ts"
import * as Failures from "../graphql/Failures.ts"
import { bulk } from "../graphql/Priority.ts"
import type { Operations } from "../graphql/Operations.ts"
import type { Operation, Refused } from "../graphql/Prepared.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { Admission } from "./Admission.ts"
import * as answers from "./answers.ts"
import { type Asking, asked, encodingOf, HttpContext, refuse } from "./Asking.ts"
import * as Deadline from "./Deadline.ts"
import { compress, type Encoding } from "./encoding.ts"
import type { Entered, Gate } from "./Gate.ts"
import * as headers from "./headers.ts"
import type { Started } from "./immediate.ts"
import { exitOf, quiet, starter } from "./immediate.ts"
import type { Answer, Handler, Incoming, Outcome } from "./Incoming.ts"
import { headersOf, WithBody } from "./Incoming.ts"
import type { MediaType } from "./mediaType.ts"
import * as Parameters from "./Parameters.ts"
import * as Quotas from "./Quotas.ts"
import type { Kept, ResponseCache, Slot } from "./ResponseCache.ts"

export interface Dependencies {
  readonly operations: Operations
  readonly gate: Context.Tag.Service<Gate>
  readonly admission: Admission
  readonly http: Shape["http"]
  /** Answers that may be given again; None: each is made anew. */
  readonly responses: Option.Option<ResponseCache>
}

/** While operations wait for a place, longer bodies are not read. No message needs one. */
export const busyBodyBytesMax = 65_536

type Written = Answer | Effect.Effect<Answer>
type Reply = Answer | Effect.Effect<Answer, Overloaded | DeadlineExceeded>

const series = {
  answered: Metrics.series(Metrics.requests, "query", "ok"),
  hits: Metrics.series(Metrics.cacheHits, "response", "near"),
  misses: Metrics.series(Metrics.cacheMisses, "response")
}

/** A document that cannot run: its own status for those who know the newer media type, 200 for the others. */
const refusedStatus = (refused: Refused, mediaType: MediaType): number =>
  mediaType === "application/json" ? 200 : refused.errors.length > 0 ? (refused.status ?? 400) : 500

const matches = (ifNoneMatch: string | undefined, etag: string): boolean =>
  ifNoneMatch !== undefined &&
  (ifNoneMatch.trim() === "*" || ifNoneMatch.split(",").some((one) => one.trim().replace(/^(?!W\/)/, "W/") === etag))

/** What answers look like. */
const writing = (http: Shape["http"]) => {
  const failed = (asking: Asking, cause: Cause.Cause<unknown>): Written => {
    const error = Failures.connectErrorOf(cause)
    if (error !== undefined) return failure(asking, error)
    return Effect.map(Failures.internal(cause), (told) =>
      answers.json(500, { errors: [told] }, headers.cors(asking.incoming, http))
    )
  }

  const failure = (asking: Asking, error: ConnectError): Answer =>
    answers.failure(error, { headers: headers.cors(asking.incoming, http) })

  /** Made once for each of the few there are: it is answered when there is no time for anything else. */
  const refusals = new WeakMap<Overloaded, Answer>()
  const shed = (incoming: Incoming, overloaded: Overloaded): Answer => {
    if (http.allowedOrigins.length > 0) return answers.failure(overloaded, { headers: headers.cors(incoming, http) })
    let made = refusals.get(overloaded)
    if (made === undefined) refusals.set(overloaded, (made = answers.failure(overloaded)))
    return made
  }

  /** `more`: headers that this answer alone has. Without any the object is one that all answers of its kind share. */
  const whole = (
    asking: Asking,
    quotas: Entered["quotas"],
    answer: Pick<Answer, "status" | "body">,
    encoding: Encoding | undefined,
    more?: Answer["headers"]
  ): Answer => {
    const { body, status } = answer
    const base = headers.base(asking.mediaType, asking.secure, encoding, quotas)
    const ratelimit = Quotas.ratelimit(quotas)
    if (more === undefined && http.allowedOrigins.length === 0) return { status, headers: base, ratelimit, body }
    const own = { ...base, ...headers.cors(asking.incoming, http), ...more }
    return { status, headers: headersOf({ status, headers: own, ratelimit, body }), body }
  }

  const text = (
    asking: Asking,
    status: number,
    body: string,
    quotas: Entered["quotas"],
    cookie?: string | undefined
  ): Answer => {
    const more = cookie === undefined ? undefined : { "set-cookie": cookie }
    const encoding = encodingOf(asking, body.length)
    const sent = encoding === undefined ? body : compress(encoding, Buffer.from(body))
    return whole(asking, quotas, { status, body: sent }, encoding, more)
  }

  /** An answer that is kept: compressed once, and for a GET with what caches on the way need to know. */
  const kept = (asking: Asking, operation: Operation, one: Kept, quotas: Entered["quotas"], now: number): Answer => {
    const { incoming } = asking
    const encoding = encodingOf(asking, one.bytes)
    const answer = { status: 200, body: encoding === undefined ? one.text : one.in(encoding) }
    const policy = operation.cachePolicy
    if (incoming.method !== "GET" || policy === undefined) return whole(asking, quotas, answer, encoding)
    const more = headers.caching(policy, Math.max(0, Math.ceil((one.until - now) / 1_000)), one.etag, http)
    // A shared cache would show one client's quota to all.
    const told = policy.scope === "PUBLIC" ? [] : quotas
    return matches(incoming.header("if-none-match"), one.etag)
      ? whole(asking, told, { status: 304, body: null }, undefined, more)
      : whole(asking, told, answer, encoding, more)
  }

  return { failed, failure, shed, text, kept }
}

/** What was let in leaves when its answer is there, which takes no fiber where nothing waits. */
const admitted = (
  begin: () => ExecutionResult | Effect.Effect<ExecutionResult>,
  written: (result: ExecutionResult) => Answer,
  leave: () => void
): Reply => {
  let waiting = false
  try {
    const begun = begin()
    if (!Effect.isEffect(begun)) return written(begun)
    waiting = true
    return Effect.ensuring(Effect.map(begun, written), Effect.sync(leave))
  } catch (defect) {
    return Effect.die(defect)
  } finally {
    if (!waiting) leave()
  }
}

/** `/graphql` over HTTP: POST with JSON, and GET for queries. A kept answer is found before any fiber of its own. */
export const make = ({ operations, gate, admission, http, responses }: Dependencies): Effect.Effect<Handler> =>
  Effect.gen(function* () {
    const start = yield* starter
    const execute = operations.runIn(yield* quiet)
    const clock = yield* Effect.clock
    const write = writing(http)
    const cache = Option.getOrUndefined(responses)

    const run = (
      asking: Asking,
      operation: Operation,
      variables: Parameters.Parameters["variables"],
      { identity, quotas }: Entered,
      slot: Slot | undefined
    ): Reply => {
      const request = new HttpContext(asking, identity, slot?.tags)
      const written = (result: ExecutionResult): Answer => {
        const text = operation.stringify(result)
        if (slot !== undefined && cache !== undefined && result.errors === undefined) {
          const now = clock.unsafeCurrentTimeMillis()
          return write.kept(asking, operation, cache.keep(slot, text, now), quotas, now)
        }
        const status = result.data === undefined && asking.mediaType !== "application/json" ? 400 : 200
        return write.text(asking, status, text, quotas, request.cookie)
      }
      if (asking.timeoutMillis !== undefined) {
        const answered = Effect.map(operations.run(operation, variables, request), written)
        return Deadline.within(admission.run(operation, answered), asking.timeoutMillis)
      }
      const leave = admission.enter(operation)
      if (leave === undefined) {
        return admission.run(operation, Effect.map(operations.run(operation, variables, request), written))
      }
      return admitted(() => execute(operation, variables, request), written, leave)
    }

    const answerOf = (asking: Asking, parameters: Parameters.Parameters, entered: Entered): Reply => {
      const { variables } = parameters
      const operation = operations.find(parameters)
      if ("errors" in operation) {
        Metrics.series(Metrics.requests, "none", String(operation.errors[0]?.extensions?.["code"])).unsafeUpdate(1, [])
        const body = JSON.stringify({ errors: operation.errors })
        return write.text(asking, refusedStatus(operation, asking.mediaType), body, entered.quotas)
      }
      if (operation.type === "subscription") {
        return refuse(
          400,
          "Subscriptions go over a WebSocket (graphql-transport-ws) here, or as events at /graphql/stream"
        )
      }
      if (operation.type === "mutation" && asking.incoming.method === "GET") {
        return refuse(405, "Mutations go by POST", { allow: "POST" })
      }
      const key = cache?.slot(operation, variables, Option.getOrUndefined(entered.identity.session))
      if (cache === undefined || key === undefined) return run(asking, operation, variables, entered, undefined)
      const now = clock.unsafeCurrentTimeMillis()
      const hit = cache.find(key, now)
      if (hit !== undefined) {
        series.hits.unsafeUpdate(1, [])
        series.answered.unsafeUpdate(1, [])
        return write.kept(asking, operation, hit, entered.quotas, now)
      }
      series.misses.unsafeUpdate(1, [])
      return run(asking, operation, variables, entered, cache.begin(operation, key))
    }

    /** Reads the request while the gate is still being passed, if it is. */
    const enter = (
      asking: Asking,
      entering: Started<Entered, RateLimited>,
      parameters: Parameters.Parameters
    ): Reply => {
      if (Exit.isExit(entering)) {
        return Exit.isSuccess(entering)
          ? answerOf(asking, parameters, entering.value)
          : write.failed(asking, entering.cause)
      }
      return Effect.flatMap(Fiber.await(entering), (exit) => effectOf(enter(asking, exit, parameters)))
    }

    const guarded = (asking: Asking, reply: Reply): Written =>
      Effect.isEffect(reply) ? Effect.catchAllCause(reply, (cause) => effectOf(write.failed(asking, cause))) : reply

    const begin = (asking: Asking): Started<Entered, RateLimited> => {
      const gated = gate.enter(asking.address, asking.token)
      return exitOf(gated) ?? start(gated)
    }

    const withParameters = (
      incoming: Incoming,
      next: (parameters: Parameters.Parameters | BadRequest | PayloadTooLarge) => Written
    ): Answer | Effect.Effect<Answer> | WithBody => {
      if (incoming.method === "GET") return next(Parameters.fromSearch(incoming.search))
      return new WithBody(http.bodyBytesMax, (body) => {
        if (typeof body !== "string") return next(body)
        Metrics.requestBytes.unsafeUpdate(body.length, [])
        return next(Parameters.fromJson(body))
      })
    }

    /** While others wait, nobody is looked for who may be sent away, and no long body is read. */
    const whenBusy = (incoming: Incoming): Outcome => {
      const tooLong = Number(incoming.header("content-length")) > busyBodyBytesMax
      const overloaded = tooLong ? admission.refusal(bulk) : undefined
      if (overloaded !== undefined) return write.shed(incoming, overloaded)
      return withParameters(incoming, (parameters) => {
        const overloaded = isFailure(parameters) ? undefined : admission.refusal(operations.priorityOf(parameters))
        if (overloaded !== undefined) return write.shed(incoming, overloaded)
        const asking = asked(incoming, http)
        if ("status" in asking) return asking
        if (isFailure(parameters)) return write.failure(asking, parameters)
        return guarded(asking, enter(asking, begin(asking), parameters))
      })
    }

    return (incoming): Outcome => {
      const { method } = incoming
      if (method === "OPTIONS") return headers.preflight(incoming, http)
      if (method !== "GET" && method !== "POST") return answers.methodNotAllowed(headers.allow)
      if (admission.isBusy()) return whenBusy(incoming)
      const asking = asked(incoming, http)
      if ("status" in asking) return asking
      const entering = begin(asking)
      if (Exit.isExit(entering) && Exit.isFailure(entering)) return write.failed(asking, entering.cause)
      return withParameters(incoming, (parameters) =>
        isFailure(parameters) ? write.failure(asking, parameters) : guarded(asking, enter(asking, entering, parameters))
      )
    }
  })

const isFailure = (u: object): u is BadRequest | PayloadTooLarge =>
  u instanceof BadRequest || u instanceof PayloadTooLarge

const effectOf = <E>(reply: Answer | Effect.Effect<Answer, E>): Effect.Effect<Answer, E> =>
  Effect.isEffect(reply) ? reply : Effect.succeed(reply)
