import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Actor from "../../../src/actor/Actor.ts"
import * as State from "../../../src/actor/State.ts"
import { DatabaseUnavailable, StaleOwner } from "../../../src/errors.ts"

/** Counts by name and keeps the count. */
export const Counter = Actor.make("Counter", {
  protocol: [
    Rpc.make("Add", {
      payload: { amount: Schema.Int },
      success: Schema.Int,
      error: Schema.Union(StaleOwner, DatabaseUnavailable)
    })
  ],
  mailbox: { capacity: 256, whenFull: { waitAtMost: "100 millis" } },
  supervision: { strategy: "restart", intensity: 5, window: "10 seconds" },
  idle: "2 minutes"
})

const Count = State.make({ schema: Schema.Struct({ n: Schema.Int }), initial: { n: 0 } })

export const layer = Counter.toLayer((self) =>
  Effect.gen(function* () {
    const state = yield* Count.open(self)
    return {
      Add: ({ amount }) =>
        Effect.map(
          state.update(({ n }) => ({ n: n + amount })),
          ({ n }) => n
        )
    }
  })
)
