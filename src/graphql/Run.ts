import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import type * as Scope from "effect/Scope"
import type { ExecutionResult } from "graphql"
import * as Failures from "./Failures.ts"
import type { RequestContext } from "./Part.ts"

/** The context value of one execution: who asks, and where the Effects of its resolvers run. */
export interface Run {
  readonly request: RequestContext
  readonly runtime: Runtime.Runtime<never>
  /** Fibers of resolvers that are not done; interrupted when the execution is. */
  readonly pending: Set<Fiber.RuntimeFiber<unknown, unknown>>
  /** Where a subscription keeps what it holds open. */
  readonly scope?: Scope.Scope
}

const isPromise = (value: object): value is PromiseLike<unknown> => "then" in value && typeof value.then === "function"

const valueOf = <A>(exit: Exit.Exit<A, unknown>): A => {
  if (Exit.isSuccess(exit)) return exit.value
  throw Failures.fromCause(exit.cause)
}

/**
 * What graphql takes from a resolver: the value where the Effect is done at once, a promise where it is not. Throws the
 * failure as an Error.
 */
export const settle = (run: Run, effect: Effect.Effect<unknown, unknown>): unknown => {
  if (Exit.isExit(effect)) return valueOf(effect)
  const fiber = Runtime.runFork(run.runtime, effect)
  const exit = fiber.unsafePoll()
  if (exit !== null) return valueOf(exit)
  run.pending.add(fiber)
  // graphql knows promises only; this one is never left without an answer.
  return new Promise((resolve, reject) => {
    fiber.addObserver((done) => {
      run.pending.delete(fiber)
      if (Exit.isSuccess(done)) resolve(done.value)
      else reject(Failures.fromCause(done.cause))
    })
  })
}

/** Waits for a promise of graphql's. When this is interrupted, so are the resolvers that the promise waits for. */
const awaited = <A>(promise: PromiseLike<A>, run: Run): Effect.Effect<A> =>
  Effect.async((resume) => {
    promise.then(
      (result) => resume(Effect.succeed(result)),
      (defect) => resume(Effect.failCause(Cause.die(defect)))
    )
    return Effect.suspend(() => Fiber.interruptAll(run.pending))
  })

/**
 * Runs graphql with a fresh context value. Done at once, without a promise, when all its resolvers are.
 */
export const execute = <A extends object>(
  request: RequestContext,
  start: (run: Run) => A | PromiseLike<A>,
  scope?: Scope.Scope
): Effect.Effect<A> =>
  Effect.withFiberRuntime((fiber, status) => {
    const run: Run = {
      request,
      runtime: Runtime.make({
        context: fiber.currentContext as never,
        runtimeFlags: RuntimeFlags.disable(status.runtimeFlags, RuntimeFlags.RuntimeMetrics),
        fiberRefs: fiber.getFiberRefs()
      }),
      pending: new Set(),
      ...(scope === undefined ? {} : { scope })
    }
    const result = start(run)
    return isPromise(result) ? awaited(result, run) : Effect.succeed(result)
  })

/** The answer with its errors as they may leave. */
export const presented = (result: ExecutionResult): Effect.Effect<ExecutionResult> =>
  result.errors === undefined || result.errors.length === 0
    ? Effect.succeed(result)
    : Effect.map(Effect.forEach(result.errors, Failures.present), (errors) => ({
        ...result,
        errors: errors as unknown as NonNullable<ExecutionResult["errors"]>
      }))
