import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"

/** Keys of one batch at most; what comes beyond goes into a batch of its own. */
export const batchKeysMax = 1_000

/** A batch starts when it has not grown for this many turns of the scheduler: a fork and a join in between take two. */
export const quietTurns = 3

/** A batch that keeps growing starts after this many turns all the same. */
export const turnsMax = 16

/** Loads by key, many at once. Made per request: what it has loaded it keeps, so it must not outlive the request. */
export interface Batcher<K, A, E> {
  /**
   * The value of the key, None when the batch has none. All loads of one turn, from whatever fibers, become one run of
   * the batch; a key is asked for once. A failed batch fails its loads and is forgotten, so a later load tries again.
   */
  readonly load: (key: K) => Effect.Effect<Option.Option<A>, E>
  /** What is known already, so that `load` of it costs nothing. */
  readonly prime: (key: K, value: A) => void
}

interface Batch<K, A, E> {
  readonly keys: Array<K>
  readonly waiting: Set<(exit: Exit.Exit<ReadonlyMap<K, A>, E>) => void>
  fiber: Fiber.RuntimeFiber<ReadonlyMap<K, A>, E> | undefined
}

type Entry<K, A, E> = Exit.Exit<Option.Option<A>> | Batch<K, A, E>

const isBatch = <K, A, E>(entry: Entry<K, A, E>): entry is Batch<K, A, E> => "waiting" in entry

/**
 * A batcher over one Effect per batch: keys are unique and at most `batchKeysMax`; keys absent from the map are None.
 * The batch runs with the context of the load that opened it and is interrupted when nobody waits for it any more.
 */
export const make = <K, A, E = never>(
  run: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyMap<K, A>, E>
): Batcher<K, A, E> => {
  const entries = new Map<K, Entry<K, A, E>>()
  let open: Batch<K, A, E> | undefined

  const forget = (batch: Batch<K, A, E>): void => {
    if (open === batch) open = undefined
    for (const key of batch.keys) if (entries.get(key) === batch) entries.delete(key)
  }

  const settle = (batch: Batch<K, A, E>, exit: Exit.Exit<ReadonlyMap<K, A>, E>): void => {
    if (Exit.isSuccess(exit)) {
      for (const key of batch.keys) {
        if (entries.get(key) === batch) entries.set(key, Exit.succeed(Option.fromNullable(exit.value.get(key))))
      }
    } else forget(batch)
    for (const resume of batch.waiting) resume(exit)
  }

  const begin = (batch: Batch<K, A, E>, runtime: Runtime.Runtime<never>): void => {
    if (open === batch) open = undefined
    if (batch.waiting.size === 0) return
    batch.fiber = Runtime.runFork(
      runtime,
      Effect.suspend(() => run(batch.keys)),
      { immediate: true }
    )
    batch.fiber.addObserver((exit) => settle(batch, exit))
  }

  /** Siblings resume in the same turn or the next ones; waiting while the batch grows takes them all. */
  const gather = (batch: Batch<K, A, E>, schedule: (task: () => void) => void, start: () => void): void => {
    let size = 0
    let quiet = 0
    let turns = 0
    const turn = (): void => {
      quiet = batch.keys.length === size ? quiet + 1 : 0
      if (quiet === quietTurns || ++turns === turnsMax || batch.keys.length >= batchKeysMax) return start()
      size = batch.keys.length
      schedule(turn)
    }
    schedule(turn)
  }

  const begun = (key: K): Effect.Effect<Batch<K, A, E>> =>
    Effect.withFiberRuntime((fiber, status) => {
      const batch: Batch<K, A, E> = { keys: [key], waiting: new Set(), fiber: undefined }
      open = batch
      entries.set(key, batch)
      const runtime = Runtime.make({
        context: fiber.currentContext as never,
        runtimeFlags: status.runtimeFlags,
        fiberRefs: fiber.getFiberRefs()
      })
      const scheduler = fiber.currentScheduler
      gather(
        batch,
        (task) => scheduler.scheduleTask(task, 0),
        () => begin(batch, runtime)
      )
      return Effect.succeed(batch)
    })

  const wait = (batch: Batch<K, A, E>, key: K): Effect.Effect<Option.Option<A>, E> =>
    Effect.async((resume) => {
      const done = (exit: Exit.Exit<ReadonlyMap<K, A>, E>): void =>
        resume(Exit.map(exit, (found) => Option.fromNullable(found.get(key))))
      batch.waiting.add(done)
      return Effect.suspend(() => {
        batch.waiting.delete(done)
        if (batch.waiting.size > 0) return Effect.void
        forget(batch)
        return batch.fiber === undefined ? Effect.void : Effect.asVoid(batch.fiber.interruptAsFork(batch.fiber.id()))
      })
    })

  return {
    load: (key) =>
      Effect.suspend(() => {
        const entry = entries.get(key)
        if (entry !== undefined) return isBatch(entry) ? wait(entry, key) : entry
        if (open === undefined || open.keys.length >= batchKeysMax) {
          return Effect.flatMap(begun(key), (batch) => wait(batch, key))
        }
        open.keys.push(key)
        entries.set(key, open)
        return wait(open, key)
      }),
    prime: (key, value) => {
      if (!entries.has(key)) entries.set(key, Exit.succeed(Option.some(value)))
    }
  }
}
