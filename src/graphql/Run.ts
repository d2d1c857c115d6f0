import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRefs from "effect/FiberRefs"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import type * as Scope from "effect/Scope"
import type { ExecutionResult } from "graphql"
import type { QueryCount } from "../database/QueryCount.ts"
import { currentQueryCount } from "../database/QueryCount.ts"
import * as Failures from "./Failures.ts"
import type { Wake } from "./Feed.ts"
import type { RequestContext } from "./Part.ts"

/** The context value of one execution: who asks, and where the Effects of its resolvers run. */
export interface Run {
  readonly request: RequestContext
  readonly runtime: Runtime.Runtime<never>
  /** What resolvers wait for or have waited for; left when the execution is interrupted. */
  readonly pending: Array<Pending>
  /** `runtime` by field: there the statements of a field are counted under its name. */
  readonly fields: Map<string, Runtime.Runtime<never>>
  /** What the operation asks of the database; its fields are counted apart. */
  readonly count: QueryCount | undefined
  /** The subscription that this execution opens. */
  readonly opening: Opening | undefined
}

/** Where a subscription keeps what it holds open, and what tells it that there is something to take. */
export interface Opening {
  readonly scope: Scope.Scope
  readonly wake: Wake
}

/** A fiber of a resolver, or a load without one. */
interface Pending {
  readonly leave: Effect.Effect<unknown>
}

/** A result that comes later: `onDone` is told in the turn in which the last value came, which a promise would not be. */
export interface Late<A> {
  readonly onDone: (done: (result: A) => void) => void
}

const isPromise = (value: object): value is PromiseLike<unknown> => "then" in value && typeof value.then === "function"
const isLate = (value: object): value is Late<unknown> => "onDone" in value

const valueOf = <A>(exit: Exit.Exit<A, unknown>): A => {
  if (Exit.isSuccess(exit)) return exit.value
  throw Failures.fromCause(exit.cause)
}

/** Where the Effect of a resolver of the field runs. By field only: each change of a fiber's references copies them all. */
export const runtimeOf = ({ count, fields, runtime }: Run, field: string): Runtime.Runtime<never> => {
  if (count === undefined) return runtime
  const made = fields.get(field)
  if (made !== undefined) return made
  const { context, fiberRefs, runtimeFlags } = runtime
  const own = Runtime.make({
    context,
    runtimeFlags,
    fiberRefs: FiberRefs.updateAs(fiberRefs, {
      fiberId: FiberId.none,
      fiberRef: currentQueryCount,
      value: count.of(field)
    })
  })
  fields.set(field, own)
  return own
}

/** Begins the Effect of a resolver of `field`: its Exit where it is done at once; otherwise `done` is told later. */
export const begin = (
  run: Run,
  field: string,
  effect: Effect.Effect<unknown, unknown>,
  done: (exit: Exit.Exit<unknown, unknown>) => void
): Exit.Exit<unknown, unknown> | undefined => {
  if (Exit.isExit(effect)) return effect
  const fiber = Runtime.runFork(runtimeOf(run, field), effect)
  const exit = fiber.unsafePoll()
  if (exit !== null) return exit
  run.pending.push({ leave: Effect.suspend(() => Fiber.interrupt(fiber)) })
  fiber.addObserver(done)
  return undefined
}

/** The same for graphql, which knows promises only. Throws the failure as an Error. */
export const settle = (run: Run, field: string, effect: Effect.Effect<unknown, unknown>): unknown => {
  let settled: (exit: Exit.Exit<unknown, unknown>) => void = () => {}
  const exit = begin(run, field, effect, (late) => settled(late))
  if (exit !== undefined) return valueOf(exit)
  return new Promise((resolve, reject) => {
    settled = (late) => {
      if (Exit.isSuccess(late)) resolve(late.value)
      else reject(Failures.fromCause(late.cause))
    }
  })
}

const leave = ({ pending }: Run): Effect.Effect<void> =>
  Effect.suspend(() => Effect.forEach(pending, (one) => one.leave, { concurrency: "unbounded", discard: true }))

/** Waits for an execution. When this is interrupted, so are the resolvers that it waits for. */
const awaited = <A>(late: Late<A> | PromiseLike<A>, run: Run): Effect.Effect<A> =>
  Effect.async((resume) => {
    if ("onDone" in late) late.onDone((result) => resume(Effect.succeed(result)))
    else
      late.then(
        (result) => resume(Effect.succeed(result)),
        (defect) => resume(Effect.failCause(Cause.die(defect)))
      )
    return leave(run)
  })

/** This fiber's runtime, without what each fiber in it would count. */
export const here: Effect.Effect<Runtime.Runtime<never>> = Effect.withFiberRuntime((fiber, { runtimeFlags }) =>
  Effect.succeed(
    Runtime.make({
      context: fiber.currentContext as never,
      runtimeFlags: RuntimeFlags.disable(runtimeFlags, RuntimeFlags.RuntimeMetrics),
      fiberRefs: fiber.getFiberRefs()
    })
  )
)

interface Options {
  readonly count?: QueryCount
  readonly opening?: Opening
}

/**
 * Runs graphql with a fresh context value, its resolvers in `runtime`. The result itself when all its resolvers are done
 * at once: that takes no fiber and no promise. Otherwise it has begun, and the Effect waits for it.
 */
export const start = <A extends object>(
  runtime: Runtime.Runtime<never>,
  request: RequestContext,
  begun: (run: Run) => A | Late<A> | PromiseLike<A>,
  { count, opening }: Options = {}
): A | Effect.Effect<A> => {
  const run: Run = { request, runtime, pending: [], fields: new Map(), count, opening }
  const result = begun(run)
  return isLate(result) || isPromise(result) ? awaited(result as Late<A>, run) : (result as A)
}

/** The same in a fiber, whose references the resolvers see. */
export const execute = <A extends object>(
  request: RequestContext,
  begun: (run: Run) => A | Late<A> | PromiseLike<A>,
  options?: Options
): Effect.Effect<A> =>
  Effect.flatMap(here, (runtime) => {
    const started = start(runtime, request, begun, options)
    return Effect.isEffect(started) ? started : Effect.succeed(started)
  })

/** The answer with its errors as they may leave. */
export const presented = (result: ExecutionResult): Effect.Effect<ExecutionResult> =>
  result.errors === undefined || result.errors.length === 0
    ? Effect.succeed(result)
    : Effect.map(Effect.forEach(result.errors, Failures.present), (errors) => ({
        ...result,
        errors: errors as unknown as NonNullable<ExecutionResult["errors"]>
      }))
