import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Actor from "../../../src/actor/Actor.ts"
import { DatabaseUnavailable } from "../../../src/errors.ts"

/** Counts by name and keeps the count. */
export const Counter = Actor.make("Counter", {
  protocol: [
    Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int, error: DatabaseUnavailable }),
    Rpc.make("Count", { success: Schema.Int }).annotate(Actor.Idempotent, true)
  ],
  state: { schema: Schema.Struct({ n: Schema.Int }), initial: { n: 0 } },
  mailbox: { capacity: 256, whenFull: { waitAtMost: "100 millis" } },
  supervision: { strategy: "restart", intensity: 5, window: "10 seconds" },
  idle: "2 minutes"
})

export const layer = Counter.toLayer(({ state }) =>
  Effect.succeed({
    Add: ({ amount }) =>
      Effect.map(
        state.update(({ n }) => ({ n: n + amount })),
        ({ n }) => n
      ),
    Count: () => Effect.sync(() => state.current.n)
  })
)
