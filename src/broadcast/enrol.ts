import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"

/**
 * Enters something in a table for as long as the scope lives. For what thousands wait in: Effect.acquireRelease would
 * keep all references of the fiber that began it for each of them.
 */
export const enrol = (enter: () => void, leave: () => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.uninterruptible(
    Effect.scopeWith((scope) => {
      enter()
      return Scope.addFinalizer(scope, Effect.sync(leave))
    })
  )
