import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import type * as Exit from "effect/Exit"
import { pipeArguments } from "effect/Pipeable"
import * as Scope from "effect/Scope"

/** A Scope that is only made when something asks for it: most actors never do, and an empty one costs 200 bytes. */
export class LazyScope {
  readonly [Scope.ScopeTypeId]: Scope.ScopeTypeId = Scope.ScopeTypeId
  readonly [Scope.CloseableScopeTypeId]: Scope.CloseableScopeTypeId = Scope.CloseableScopeTypeId
  private inner: Scope.CloseableScope | undefined = undefined

  static make(): LazyScope & Scope.CloseableScope {
    return new LazyScope() as unknown as LazyScope & Scope.CloseableScope
  }

  get strategy(): ExecutionStrategy.ExecutionStrategy {
    return ExecutionStrategy.sequential
  }

  /** Whether nothing was ever registered, so that there is nothing to close. */
  get empty(): boolean {
    return this.inner === undefined
  }

  /** What `Effect.forkIn` and `forkScoped` read of a scope, past its interface. */
  get state(): unknown {
    return (this.open() as unknown as { readonly state: unknown }).state
  }

  fork(strategy: ExecutionStrategy.ExecutionStrategy): Effect.Effect<Scope.CloseableScope> {
    return Effect.suspend(() => Scope.fork(this.open(), strategy))
  }

  addFinalizer(finalizer: Scope.Scope.Finalizer): Effect.Effect<void> {
    return Effect.suspend(() => Scope.addFinalizerExit(this.open(), finalizer))
  }

  close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => (this.inner === undefined ? Effect.void : Scope.close(this.inner, exit)))
  }

  pipe() {
    // oxlint-disable-next-line prefer-rest-params
    return pipeArguments(this, arguments)
  }

  private open(): Scope.CloseableScope {
    return (this.inner ??= Effect.runSync(Scope.make()))
  }
}
