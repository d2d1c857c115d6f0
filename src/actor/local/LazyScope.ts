import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import type * as Exit from "effect/Exit"
import { pipeArguments } from "effect/Pipeable"
import * as Scope from "effect/Scope"

/**
 * A Scope for what there are thousands of. Most need none or hold one or two things; a Scope with something in it costs a
 * kilobyte, so the real one is only made for those who fork.
 */
export class LazyScope {
  readonly [Scope.ScopeTypeId]: Scope.ScopeTypeId = Scope.ScopeTypeId
  readonly [Scope.CloseableScopeTypeId]: Scope.CloseableScopeTypeId = Scope.CloseableScopeTypeId
  private inner: Scope.CloseableScope | undefined = undefined
  private finalizers: Array<Scope.Scope.Finalizer> | undefined = undefined
  private closed: Exit.Exit<unknown, unknown> | undefined = undefined

  static make(): LazyScope & Scope.CloseableScope {
    return new LazyScope() as unknown as LazyScope & Scope.CloseableScope
  }

  get strategy(): ExecutionStrategy.ExecutionStrategy {
    return ExecutionStrategy.sequential
  }

  /** Whether nothing was ever registered, so that there is nothing to close. */
  get empty(): boolean {
    return this.inner === undefined && this.finalizers === undefined
  }

  /** What `Effect.forkIn` and `forkScoped` read of a scope, past its interface. */
  get state(): unknown {
    return (this.open() as unknown as { readonly state: unknown }).state
  }

  fork(strategy: ExecutionStrategy.ExecutionStrategy): Effect.Effect<Scope.CloseableScope> {
    return Effect.suspend(() => Scope.fork(this.open(), strategy))
  }

  addFinalizer(finalizer: Scope.Scope.Finalizer): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.inner !== undefined) return Scope.addFinalizerExit(this.inner, finalizer)
      if (this.closed !== undefined) return finalizer(this.closed)
      this.finalizers = [...(this.finalizers ?? []), finalizer]
      return Effect.void
    })
  }

  close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (!this.empty) return Scope.close(this.open(), exit)
      this.closed = exit
      return Effect.void
    })
  }

  pipe() {
    // oxlint-disable-next-line prefer-rest-params
    return pipeArguments(this, arguments)
  }

  private open(): Scope.CloseableScope {
    if (this.inner !== undefined) return this.inner
    this.inner = Effect.runSync(Scope.make())
    for (const finalizer of this.finalizers ?? []) Effect.runSync(Scope.addFinalizerExit(this.inner, finalizer))
    this.finalizers = undefined
    if (this.closed !== undefined) Effect.runSync(Scope.close(this.inner, this.closed))
    return this.inner
  }
}
