import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Actor from "../../../src/actor/Actor.ts"
import * as Reminders from "../../../src/actor/Reminders.ts"
import * as State from "../../../src/actor/State.ts"
import { DatabaseUnavailable, StaleOwner } from "../../../src/errors.ts"

const error = Schema.Union(StaleOwner, DatabaseUnavailable)

/** Holds a seat for a while. Whatever restarts meanwhile, the seat is free again when its time is over. */
export const Hold = Actor.make("Hold", {
  protocol: [
    Rpc.make("Take", { payload: { by: Schema.String }, success: Schema.Boolean, error }),
    Rpc.make("Expire", { payload: { by: Schema.String }, error }),
    Rpc.make("Holder", { success: Schema.NullOr(Schema.String) })
  ]
})

const Seat = State.make({ schema: Schema.Struct({ by: Schema.NullOr(Schema.String) }), initial: { by: null } })

export const layer = Hold.toLayer((self) =>
  Effect.gen(function* () {
    const seat = yield* Seat.open(self)
    const reminders = yield* Reminders.of(Hold)
    return {
      Take: ({ by }) =>
        Effect.gen(function* () {
          if (seat.current.by !== null) return false
          yield* reminders.set(self.id, "expiry", { after: "10 minutes" }).Expire({ by })
          yield* seat.set({ by })
          return true
        }),
      // It may come twice, or for a hold that has ended otherwise: it says whose hold it means.
      Expire: ({ by }) => (seat.current.by === by ? Effect.asVoid(seat.set({ by: null })) : Effect.void),
      Holder: () => Effect.sync(() => seat.current.by)
    }
  })
)
