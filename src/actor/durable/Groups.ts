import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"

/** Items that wait for their group at most; beyond it `submit` fails with what `full` gives. */
export const waitingMax = 20_000

interface Waiting<In, Out, E> {
  readonly item: In
  readonly resume: (exit: Exit.Exit<Out, E>) => void
}

export interface Options<In, Out, E> {
  /** Items of one group at most. */
  readonly sizeMax: number
  /** Does the whole group at once; one exit for each item, in the same order. */
  readonly run: (items: ReadonlyArray<In>) => Effect.Effect<ReadonlyArray<Exit.Exit<Out, E>>>
  readonly full: () => E
}

/**
 * Group commit: everything that arrives while one group is done makes the next one, so a commit is shared by as many as
 * wait for it. A caller that is interrupted leaves, its item is done all the same.
 */
export const make = <In, Out, E>(
  options: Options<In, Out, E>
): Effect.Effect<(item: In) => Effect.Effect<Out, E>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const runtime = yield* Effect.runtime<never>()
    const scope = yield* Effect.scope
    const waiting: Array<Waiting<In, Out, E>> = []
    let running = false
    const drain = Effect.whileLoop({
      while: () => (running = waiting.length > 0),
      body: () => {
        const group = waiting.splice(0, options.sizeMax)
        return Effect.map(options.run(group.map(({ item }) => item)), (exits) => [group, exits] as const)
      },
      step: ([group, exits]) => {
        for (const [index, { resume }] of group.entries()) resume(exits[index]!)
      }
    })
    return (item) =>
      Effect.async<Out, E>((resume) => {
        if (waiting.length >= waitingMax) return resume(Effect.fail(options.full()))
        waiting.push({ item, resume })
        if (running) return
        running = true
        Runtime.runFork(runtime)(drain, { scope })
      })
  })
