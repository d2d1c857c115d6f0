import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Supervised from "../actor/Supervised.ts"
import { Bell } from "./Bell.ts"

/** An item to do again in the next batch, in front of what has come meanwhile. */
export const again = "again"

export interface Options<A, B, E> {
  /** Of the supervised fiber. */
  readonly name: string
  /** Items of one batch at most. */
  readonly sizeMax: number
  /** Items with the same key never share a batch, so each sees what the one before it did. */
  readonly key: (item: A) => string
  /** What became of each item, in their order. A failure is the failure of every item. */
  readonly run: (items: ReadonlyArray<A>) => Effect.Effect<ReadonlyArray<Exit.Exit<B, E> | typeof again>, E>
}

interface Pending<A, B, E> {
  readonly item: A
  readonly done: Deferred.Deferred<B, E>
}

/**
 * Does what arrives in batches: everything that came while the last batch ran makes the next one, so a lone item waits
 * for nothing and many share the cost of one statement. What waits is bounded by whoever submits. An interrupted
 * submitter stops waiting; its item is done all the same.
 */
export const make = <A, B, E>(
  options: Options<A, B, E>
): Effect.Effect<(item: A) => Effect.Effect<B, E>, never, Scope.Scope> =>
  Effect.gen(function* () {
    let waiting: Array<Pending<A, B, E>> = []
    let running: ReadonlyArray<Pending<A, B, E>> = []
    const bell = new Bell()

    const next = Effect.sync(() => {
      const keys = new Set<string>()
      const batch: Array<Pending<A, B, E>> = []
      const rest: Array<Pending<A, B, E>> = []
      for (const pending of waiting) {
        const key = options.key(pending.item)
        if (batch.length < options.sizeMax && !keys.has(key)) batch.push(pending)
        else rest.push(pending)
        keys.add(key)
      }
      waiting = rest
      return (running = batch)
    })

    const batch = Effect.gen(function* () {
      if (waiting.length === 0) yield* bell.heard
      const pending = yield* next
      const exit = yield* Effect.exit(options.run(pending.map(({ item }) => item)))
      const repeated: Array<Pending<A, B, E>> = []
      pending.forEach((one, at) => {
        const outcome = Exit.isSuccess(exit) ? exit.value[at]! : Exit.failCause(exit.cause)
        if (outcome === again) repeated.push(one)
        else Deferred.unsafeDone(one.done, outcome)
      })
      waiting = [...repeated, ...waiting]
      running = []
    })

    yield* Effect.addFinalizer(() =>
      Effect.forEach([...running, ...waiting], ({ done }) => Deferred.interrupt(done), { discard: true })
    )
    yield* Supervised.fork({ name: options.name, effect: Effect.forever(batch) })

    return (item) =>
      Effect.flatMap(Deferred.make<B, E>(), (done) => {
        waiting.push({ item, done })
        bell.ring()
        return Deferred.await(done)
      })
  })
