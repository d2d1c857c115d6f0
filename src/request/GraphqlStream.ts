import type * as Context from "effect/Context"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type { ExecutionResult } from "graphql"
import * as Supervised from "../actor/Supervised.ts"
import type { Shape } from "../config/Settings.ts"
import type { RateLimited } from "../errors.ts"
import { BadRequest, Overloaded, SessionExpired } from "../errors.ts"
import * as Failures from "../graphql/Failures.ts"
import type { Operations } from "../graphql/Operations.ts"
import type { RequestContext } from "../graphql/Part.ts"
import type { Operation, Variables } from "../graphql/Prepared.ts"
import type { SubscriptionFailed } from "../graphql/Subscription.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { Admission } from "./Admission.ts"
import * as answers from "./answers.ts"
import { type Asking, asked, HttpContext, refuse } from "./Asking.ts"
import type { Entered, Gate, Identity } from "./Gate.ts"
import * as headers from "./headers.ts"
import type { Answer, Handler, Reader } from "./Incoming.ts"
import { WithBody } from "./Incoming.ts"
import * as Parameters from "./Parameters.ts"
import * as Quotas from "./Quotas.ts"
import { pingInterval, socketsMax, stallMillisMax } from "./socketLimits.ts"

export interface Dependencies {
  readonly operations: Operations
  readonly gate: Context.Tag.Service<Gate>
  readonly admission: Admission
  readonly http: Shape["http"]
}

/** Operations over server-sent events, one a connection. */
export interface Streams {
  readonly handler: Handler
  /** Ends every stream without `complete`, so that its reader connects again elsewhere; lets no more in. */
  readonly drain: Effect.Effect<void>
  readonly size: () => number
}

/** One stream that is open. */
interface Open {
  readonly reader: Reader
  /** Ends what feeds it. */
  stop: () => void
  /** Since when its reader takes nothing. */
  waitingSince: number | undefined
}

const streaming: Readonly<Record<string, string>> = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  // For nginx, which would gather what should arrive at once.
  "x-accel-buffering": "no",
  ...answers.securityHeaders
}

const next = (result: ExecutionResult | { readonly errors: ReadonlyArray<unknown> }): string =>
  `event: next\ndata: ${JSON.stringify(result)}\n\n`
const told = ({ extensions, message }: SubscriptionFailed) => ({ message, extensions })
const complete = "event: complete\ndata:\n\n"
/** A comment: keeps proxies from closing what is quiet, and finds readers that have gone. */
const ping = ":\n\n"

/** The GraphQL over SSE protocol in distinct connections mode, at `/graphql/stream`. */
export const make = ({ operations, gate, admission, http }: Dependencies): Effect.Effect<Streams, never, Scope.Scope> =>
  Effect.gen(function* () {
    const runFork = Runtime.runFork(yield* Effect.runtime<never>())
    const clock = yield* Effect.clock
    const streams = new Set<Open>()
    let isDraining = false
    const gauge = Metrics.series(Metrics.socketsOpen, "sse")

    const remove = (open: Open): void => {
      if (!streams.delete(open)) return
      gauge.unsafeModify(-1, [])
      open.stop()
    }

    const end = (open: Open): void => {
      remove(open)
      open.reader.end()
    }

    const send = (open: Open, text: string): Effect.Effect<void> =>
      Effect.suspend(() => {
        const waiting = open.reader.send(text)
        if (waiting === undefined) return Effect.void
        open.waitingSince ??= clock.unsafeCurrentTimeMillis()
        return Effect.map(
          Effect.promise(() => waiting),
          () => {
            open.waitingSince = undefined
          }
        )
      })

    /** The last thing that is said. */
    const finish = (open: Open, last: string): void => {
      if (!streams.has(open)) return
      void open.reader.send(last + complete)
      end(open)
    }

    const subscribe = (open: Open, operation: Operation, variables: Variables, request: RequestContext): void => {
      const subscription = operations.subscribe(operation, variables, request, {
        fork: runFork,
        receive: (answer) => send(open, next(answer)),
        end: (failure) => finish(open, failure === undefined ? "" : next({ errors: [told(failure)] }))
      })
      open.stop = () => subscription.close()
    }

    const answered = (operation: Operation, variables: Variables, request: RequestContext) =>
      Effect.catchAll(admission.run(operation, operations.run(operation, variables, request)), (overloaded) =>
        Effect.succeed({ errors: [Failures.format(overloaded)] })
      )

    const run = (open: Open, operation: Operation, variables: Variables, request: RequestContext): void => {
      const fiber = runFork(answered(operation, variables, request))
      open.stop = () => fiber.unsafeInterruptAsFork(fiber.id())
      fiber.addObserver((exit) => (Exit.isSuccess(exit) ? finish(open, next(exit.value)) : end(open)))
    }

    /** A session that ends takes its stream along, and says so. */
    const watch = (open: Open, { session }: Identity): void => {
      if (Option.isNone(session)) return
      const expired = next({ errors: [Failures.format(new SessionExpired())] })
      const ended = gate.whenEnded(session.value, () => finish(open, expired))
      const { stop } = open
      runFork(
        Effect.flatMap(Scope.make(), (scope) => {
          open.stop = () => {
            stop()
            runFork(Scope.close(scope, Exit.void))
          }
          return Scope.extend(ended, scope)
        })
      )
    }

    const begin = (
      reader: Reader,
      asking: Asking,
      parameters: Parameters.Parameters,
      identity: Identity
    ): { readonly closed: () => void } => {
      const open: Open = { reader, stop: () => undefined, waitingSince: undefined }
      streams.add(open)
      gauge.unsafeModify(1, [])
      const operation = operations.find(parameters)
      if ("errors" in operation) finish(open, next(operation))
      else {
        const start = operation.type === "subscription" ? subscribe : run
        start(open, operation, parameters.variables, new HttpContext(asking, identity))
        if (streams.has(open)) watch(open, identity)
      }
      return { closed: () => remove(open) }
    }

    const opened = (
      asking: Asking,
      parameters: Parameters.Parameters | BadRequest,
      { identity, quotas }: Entered
    ): Answer => {
      const cors = headers.cors(asking.incoming, http)
      if (parameters instanceof BadRequest) return answers.failure(parameters, { headers: cors })
      if (isDraining || streams.size >= socketsMax) {
        return answers.failure(new Overloaded({ retryAfterMillis: 1_000 }), { headers: cors })
      }
      const overloaded = admission.refusal(operations.priorityOf(parameters))
      if (overloaded !== undefined) return answers.failure(overloaded, { headers: cors })
      if (asking.incoming.method === "GET") {
        const operation = operations.find(parameters)
        if (!("errors" in operation) && operation.type === "mutation") {
          return refuse(405, "Mutations go by POST", { allow: "POST" })
        }
      }
      const ratelimit = Quotas.ratelimit(quotas)
      return {
        status: 200,
        headers: {
          ...streaming,
          ...cors,
          ...(asking.secure ? answers.strictTransport : {}),
          ...Quotas.policy(quotas),
          ...(ratelimit === undefined ? {} : { ratelimit })
        },
        body: { open: (reader) => begin(reader, asking, parameters, identity) }
      }
    }

    const enter = (asking: Asking, parameters: Parameters.Parameters | BadRequest): Effect.Effect<Answer> =>
      Effect.match(gate.enter(asking.address, asking.token), {
        onSuccess: (entered) => opened(asking, parameters, entered),
        onFailure: (limited: RateLimited) => answers.failure(limited, { headers: headers.cors(asking.incoming, http) })
      })

    const handler: Handler = (incoming) => {
      const { method } = incoming
      if (method === "OPTIONS") return headers.preflight(incoming, http)
      if (method !== "GET" && method !== "POST") return answers.methodNotAllowed(headers.allow)
      if (!/text\/(event-stream|\*)|\*\/\*/i.test(incoming.header("accept") ?? "*/*")) {
        return refuse(406, "Accept must allow text/event-stream")
      }
      const asking = asked(incoming, http, "application/json")
      if ("status" in asking) return asking
      if (method === "GET") return enter(asking, Parameters.fromSearch(incoming.search))
      return new WithBody(http.bodyBytesMax, (body) =>
        typeof body === "string" ? enter(asking, Parameters.fromJson(body)) : answers.failure(body)
      )
    }

    /** Who takes nothing for too long is cut off; it comes back and goes on after the last number it has. */
    const look = Effect.map(Clock.currentTimeMillis, (now) => {
      for (const open of streams) {
        if (open.waitingSince === undefined) void open.reader.send(ping)
        else if (now - open.waitingSince > stallMillisMax) end(open)
      }
    })
    yield* Supervised.fork({ name: "event streams", effect: Effect.repeat(look, Schedule.spaced(pingInterval)) })

    return {
      handler,
      drain: Effect.sync(() => {
        isDraining = true
        for (const open of streams) end(open)
      }),
      size: () => streams.size
    }
  })
