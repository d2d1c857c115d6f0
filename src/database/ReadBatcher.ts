import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRefs from "effect/FiberRefs"
import type * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Batcher from "../request/Batcher.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { currentQueryCount } from "./QueryCount.ts"

export interface Options<K, Row, E> {
  /** What is read, such as `user`: a label of the metrics. */
  readonly name: string
  /** The rows of these keys, at most `Batcher.batchKeysMax` of them: `select … where id = any(${keys}::uuid[])`. */
  readonly statement: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyArray<Row>, E>
  /** The key of a row. */
  readonly key: (row: Row) => K
}

/** Reads rows by key, for the whole process. */
export interface ReadBatcher<K, Row, E> {
  /** The row of the key, None when there is none. */
  readonly load: (key: K) => Effect.Effect<Option.Option<Row>, E>
  /** The rows of those keys that have one. */
  readonly loadMany: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyMap<K, Row>, E>
}

const inTransaction = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  fiber.currentContext.unsafeMap.has(SqlClient.TransactionConnection.key)

/**
 * A batch is for several callers, so it runs where the batcher was made: without the deadline, the transaction or the
 * span of the one that came first. Only the count of statements is that one's.
 */
const atHome = (home: Runtime.Runtime<never>) => (opener: Runtime.Runtime<never>) => {
  const value = FiberRefs.getOrDefault(opener.fiberRefs, currentQueryCount)
  return value === undefined
    ? home
    : Runtime.make({
        context: home.context,
        runtimeFlags: home.runtimeFlags,
        fiberRefs: FiberRefs.updateAs(home.fiberRefs, { fiberId: FiberId.none, fiberRef: currentQueryCount, value })
      })
}

/** One suspension for all keys, whatever batches they end up in. The first failure is the failure. */
const joinMany = <K, Row, E>(
  batcher: Batcher.Batcher<K, Row, E>,
  keys: ReadonlyArray<K>,
  runtime: Runtime.Runtime<never>
): Effect.Effect<ReadonlyMap<K, Row>, E> =>
  Effect.async((resume) => {
    const found = new Map<K, Row>()
    let missing = keys.length
    const joined: Array<Batcher.Joined> = []
    const succeeded = (row: Row | null, key: K): void => {
      if (row !== null) found.set(key, row)
      if (--missing === 0) resume(Exit.succeed(found))
    }
    const failed = (cause: Cause.Cause<E>): void => resume(Exit.failCause(cause))
    const caller = { runtime: () => runtime, succeeded, failed }
    for (const key of keys) {
      const load = batcher.find(key).join(caller, key)
      if ("leave" in load) joined.push(load)
      else Exit.match(load, { onSuccess: (row) => succeeded(row, key), onFailure: failed })
    }
    return Effect.forEach(joined, ({ leave }) => leave, { discard: true })
  })

/**
 * What all fibers of the process read by key in one turn is one statement, each key once. Nobody gets what was read
 * before they asked: a statement under way takes no more keys. A caller that is interrupted leaves alone, and the last
 * one takes the statement along. Inside a transaction a read is a statement of that transaction.
 */
export const make = <K, Row, E = SqlError>({
  key,
  name,
  statement
}: Options<K, Row, E>): Effect.Effect<ReadBatcher<K, Row, E>> =>
  Effect.map(Effect.runtime(), (home) => {
    const read = Metrics.series(Metrics.batchKeys, name)
    const run = (keys: ReadonlyArray<K>) =>
      Effect.map(statement(keys), (rows): ReadonlyMap<K, Row> => {
        read.unsafeUpdate(keys.length, [])
        return new Map(rows.map((row) => [key(row), row]))
      })
    const batcher = Batcher.make(run, { keep: false, runtimeOf: atHome(home), isAlone: inTransaction })
    return {
      load: batcher.load,
      loadMany: (keys) =>
        keys.length === 0
          ? Effect.succeed(new Map())
          : Effect.withFiberRuntime((fiber, { runtimeFlags }) =>
              inTransaction(fiber)
                ? run(keys)
                : joinMany(
                    batcher,
                    keys,
                    Runtime.make({
                      context: fiber.currentContext as never,
                      runtimeFlags,
                      fiberRefs: fiber.getFiberRefs()
                    })
                  )
            )
    }
  })
