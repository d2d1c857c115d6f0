import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import { batchMax } from "./InboxRunner.ts"
import type { Pending } from "./InboxTable.ts"

/** Hands kept messages to the runner in batches: what comes while one batch runs makes the next one. */
export interface InboxQueue {
  /** Those that are in the queue already are left out. */
  readonly enqueue: (messages: ReadonlyArray<Pending>) => void
  /** Interrupts what runs and empties the queue; the positions of what was in it. */
  readonly reset: () => ReadonlyArray<number>
}

export const make = (run: (messages: ReadonlyArray<Pending>) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const runtime = yield* Effect.runtime<never>()
    const scope = yield* Effect.scope
    let ready: Array<Pending> = []
    let held = new Set<number>()
    let fiber: Fiber.RuntimeFiber<void> | undefined

    const start = () => {
      const own = held
      const queue = ready
      const drain = Effect.whileLoop({
        while: () => queue.length > 0,
        body: () => {
          const batch = queue.splice(0, batchMax)
          return Effect.as(run(batch), batch)
        },
        step: (batch) => {
          for (const { position } of batch) own.delete(position)
        }
      })
      const started = Runtime.runFork(runtime)(drain, { scope })
      fiber = started
      started.addObserver(() => {
        if (fiber !== started) return
        fiber = undefined
        if (ready.length > 0) start()
      })
    }

    const queue: InboxQueue = {
      enqueue: (messages) => {
        for (const message of messages) {
          if (held.has(message.position)) continue
          held.add(message.position)
          ready.push(message)
        }
        if (fiber === undefined && ready.length > 0) start()
      },
      reset: () => {
        const positions = Array.from(held)
        const running = fiber
        fiber = undefined
        ready = []
        held = new Set()
        running?.unsafeInterruptAsFork(FiberId.none)
        return positions
      }
    }
    return queue
  })
