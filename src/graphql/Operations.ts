import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Runtime from "effect/Runtime"
import * as Tracer from "effect/Tracer"
import type { ExecutionResult, GraphQLSchema } from "graphql"
import { OperationTypeNode } from "graphql"
import type { Shape } from "../config/Settings.ts"
import { QueryCount } from "../database/QueryCount.ts"
import { BadRequest, errors } from "../errors.ts"
import { stopwatch } from "../telemetry/Measure.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Sampling from "../telemetry/Sampling.ts"
import * as Failures from "./Failures.ts"
import type { Wake } from "./Feed.ts"
import type { RequestContext } from "./Part.ts"
import * as Persisted from "./Persisted.ts"
import type { Priority } from "./Priority.ts"
import type { Operation, Refused, Variables } from "./Prepared.ts"
import * as Documents from "./Prepared.ts"
import * as QueryBudget from "./QueryBudget.ts"
import * as Run from "./Run.ts"
import { type Reader, Subscription, SubscriptionFailed } from "./Subscription.ts"

/** An operation as a request names it. */
type Asked = Persisted.Reference & { readonly operationName?: string | null | undefined }

/** The operations of one schema, over whatever transport they come. */
export interface Operations {
  /** The class of what was prepared before; undefined for what nobody knows yet. Costs next to nothing. */
  readonly priorityOf: (asked: Asked) => Priority | undefined
  /** The operation that a request asks for, by its text or by its hash, if it may cost what it does with its variables. */
  readonly find: (asked: Asked & { readonly variables: Variables }) => Operation | Refused
  /** Runs a query or a mutation: measured, counted, its errors as they may leave. */
  readonly run: (operation: Operation, variables: Variables, request: RequestContext) => Effect.Effect<ExecutionResult>
  /** The same for who has no fiber: its resolvers run in `runtime`. The result itself where none of them waits. */
  readonly runIn: (
    runtime: Runtime.Runtime<never>
  ) => (
    operation: Operation,
    variables: Variables,
    request: RequestContext
  ) => ExecutionResult | Effect.Effect<ExecutionResult>
  /** Begins a subscription: its reader has the answers, one an event, until it closes it. */
  readonly subscribe: (
    operation: Operation,
    variables: Variables,
    request: RequestContext,
    reader: Reader
  ) => Subscription
}

const ok = "ok"

/** `ok`, or the code of the first error. */
export const codeOfResult = (result: Pick<ExecutionResult, "errors">): string => {
  const code = result.errors?.[0]?.extensions?.["code"]
  return typeof code === "string" ? code : result.errors === undefined ? ok : Failures.internalCode
}

const countErrors = (result: ExecutionResult): void => {
  for (const error of result.errors ?? []) {
    Metrics.series(Metrics.requestErrors, String(error.extensions["code"])).unsafeUpdate(1, [])
  }
}

const failed = (result: ExecutionResult): SubscriptionFailed =>
  new SubscriptionFailed(result.errors?.[0] ?? { message: "The subscription did not begin" })

/**
 * Whether the operation has a span, where traces are on: always under a parent that is sampled, otherwise for the share of
 * `TRACE_SAMPLE_RATE`. What is not sampled runs without traces, so that of 99 in 100 requests no span is ever made.
 */
const isSampled = ({ trace }: RequestContext, tracer: Tracer.Tracer): boolean =>
  trace === undefined ? Sampling.takesNext(tracer) : trace.sampled

const traced = <A>(operation: Operation, { trace }: RequestContext, effect: Effect.Effect<A>): Effect.Effect<A> => {
  const attributes = { "graphql.operation.type": operation.type, "graphql.operation.name": operation.name ?? "" }
  const from = trace === undefined ? { context: Sampling.chosen } : { parent: trace }
  return Effect.flatMap(Effect.makeSpan(`graphql ${operation.type}`, { kind: "server", attributes, ...from }), (span) =>
    Effect.onExit(Effect.withParentSpan(effect, span), (exit) =>
      Effect.clockWith((clock) => Effect.sync(() => span.end(clock.unsafeCurrentTimeNanos(), exit)))
    )
  )
}

type Begun = ExecutionResult | Effect.Effect<ExecutionResult>

const effectOf = (begun: Begun): Effect.Effect<ExecutionResult> =>
  Effect.isEffect(begun) ? begun : Effect.succeed(begun)

/** The same request, with values of its own. It may be an object with getters, which a copy would not have. */
const again = (request: RequestContext): RequestContext => Object.create(request, { memo: { value: new Map() } })

const seriesOf = (type: OperationTypeNode) => ({
  answered: Metrics.series(Metrics.requests, type, ok),
  seconds: Metrics.series(Metrics.requestSeconds, type)
})

/** Runs operations of this schema as the settings say. */
export const make = (
  schema: GraphQLSchema,
  { http, preset }: Pick<Shape, "http" | "preset">,
  persisted: Persisted.Persisted = Persisted.automatic()
): Operations => {
  const prepared = Documents.make(schema, { explorer: http.explorer })
  // Found once: a series is looked up by its labels.
  const series = {
    query: seriesOf(OperationTypeNode.QUERY),
    mutation: seriesOf(OperationTypeNode.MUTATION),
    subscription: seriesOf(OperationTypeNode.SUBSCRIPTION)
  }
  const slowMillis = http.slowRequestLog ? Duration.toMillis(http.slowRequestThreshold) : Infinity

  const noted = (operation: Operation, result: ExecutionResult, millis: number, count: QueryCount): Begun => {
    if (millis < slowMillis) return result
    Metrics.slowRequests.unsafeUpdate(1, [])
    // Never the variables: they hold what people say to each other, and passwords.
    const facts = {
      operation: operation.type,
      name: operation.name ?? "",
      millis,
      queries: count.queries,
      queryMillis: count.millis
    }
    return Effect.as(Effect.annotateLogs(Effect.logWarning("A slow request"), facts), result)
  }

  const record = (operation: Operation, result: ExecutionResult, millis: number, count: QueryCount): Begun => {
    const { answered, seconds } = series[operation.type]
    if (result.errors === undefined) answered.unsafeUpdate(1, [])
    else {
      Metrics.series(Metrics.requests, operation.type, codeOfResult(result)).unsafeUpdate(1, [])
      countErrors(result)
    }
    seconds.unsafeUpdate(millis / 1_000, [])
    Metrics.requestQueries.unsafeUpdate(count.queries, [])
    const repeated = QueryBudget.watch(operation, count)
    const logged = noted(operation, result, millis, count)
    return repeated === undefined ? logged : Effect.zipRight(repeated, effectOf(logged))
  }

  const measured = (
    runtime: Runtime.Runtime<never>,
    elapsed: () => number,
    operation: Operation,
    variables: Variables,
    request: RequestContext
  ): Begun => {
    const begun = elapsed()
    const count = new QueryCount()
    const end = (answer: ExecutionResult): Begun => {
      const result = preset === "test" ? QueryBudget.enforce(operation, count, answer) : answer
      const millis = elapsed() - begun
      return result.errors === undefined
        ? record(operation, result, millis, count)
        : Effect.flatMap(Run.presented(result), (told) => effectOf(record(operation, told, millis, count)))
    }
    const executed = Run.start(runtime, request, (of) => operation.execute(of, variables), { count })
    return Effect.isEffect(executed) ? Effect.flatMap(executed, (answer) => effectOf(end(answer))) : end(executed)
  }

  const runIn: Operations["runIn"] = (runtime) => {
    const services = FiberRefs.getOrDefault(runtime.fiberRefs, DefaultServices.currentServices)
    const clock = Context.get(services, Clock.Clock)
    const elapsed = stopwatch(clock)
    const tracer = Context.get(services, Tracer.Tracer)
    const isTracing = FiberRefs.getOrDefault(runtime.fiberRefs, FiberRef.currentTracerEnabled)
    const untraced = isTracing ? Runtime.setFiberRef(runtime, FiberRef.currentTracerEnabled, false) : runtime
    return (operation, variables, request) => {
      if (!isTracing || !isSampled(request, tracer)) return measured(untraced, elapsed, operation, variables, request)
      const all = Effect.flatMap(Run.here, (inSpan) =>
        effectOf(measured(inSpan, elapsed, operation, variables, request))
      )
      return traced(operation, request, all)
    }
  }

  const run: Operations["run"] = (operation, variables, request) =>
    Effect.flatMap(Run.here, (runtime) => effectOf(runIn(runtime)(operation, variables, request)))

  const open = (operation: Operation, variables: Variables, request: RequestContext, wake: Wake) =>
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const source = yield* Run.execute(request, (of) => operation.source(of, variables), { opening: { scope, wake } })
      if (!("feed" in source)) {
        const told = yield* Run.presented(source)
        countErrors(told)
        Metrics.series(Metrics.requests, operation.type, codeOfResult(told)).unsafeUpdate(1, [])
        return yield* Effect.fail(failed(told))
      }
      Metrics.series(Metrics.requests, operation.type, ok).unsafeUpdate(1, [])
      return source.feed
    })

  const subscribe: Operations["subscribe"] = (operation, variables, request, reader) =>
    new Subscription(
      {
        open: (wake) => open(operation, variables, request, wake),
        // Loaders keep what they have read, so every event has its own.
        answer: (event) =>
          Effect.flatMap(
            Run.execute(again(request), (of) => operation.execute(of, variables, event)),
            Run.presented
          ),
        count: (change) => Metrics.series(Metrics.subscriptions, operation.rootField).unsafeModify(change, [])
      },
      reader
    )

  const priorityOf: Operations["priorityOf"] = (asked) => {
    const text = asked.query ?? persisted.textOf(asked)
    return typeof text === "string" ? prepared.known(text, asked.operationName)?.priority : undefined
  }

  const find: Operations["find"] = (asked) => {
    const text = persisted.textOf(asked)
    if (typeof text !== "string") return { errors: [Failures.format(text)], status: errors[text._tag].status }
    const operation = prepared.prepare(text, asked.operationName)
    if ("errors" in operation) return operation
    const cost = operation.cost(asked.variables)
    if (cost <= http.costMax) return operation
    const message = `The operation costs ${cost}, at most ${http.costMax} is allowed: ask for fewer or smaller pages`
    return { errors: [Failures.format(new BadRequest({ message }))] }
  }

  return { priorityOf, find, run, runIn, subscribe }
}
