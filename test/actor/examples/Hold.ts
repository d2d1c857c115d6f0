import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Actor from "../../../src/actor/Actor.ts"
import { DatabaseUnavailable } from "../../../src/errors.ts"

/** Holds a seat for a while. Whatever restarts meanwhile, the seat is free again when its time is over. */
export const Hold = Actor.make("Hold", {
  protocol: [
    Rpc.make("Take", { payload: { by: Schema.String }, success: Schema.Boolean, error: DatabaseUnavailable }),
    Rpc.make("Expire", { payload: { by: Schema.String }, error: DatabaseUnavailable }),
    Rpc.make("Holder", { success: Schema.NullOr(Schema.String) })
  ],
  state: { schema: Schema.Struct({ by: Schema.NullOr(Schema.String) }), initial: { by: null } },
  reminders: ["Expire"]
})

export const layer = Hold.toLayer(({ reminders, state }) =>
  Effect.succeed({
    Take: ({ by }) =>
      Effect.gen(function* () {
        if (state.current.by !== null) return false
        yield* reminders.set("expiry", { after: "10 minutes" }).Expire({ by })
        yield* state.set({ by })
        return true
      }),
    // It may come twice, or for a hold that has ended otherwise: it says whose hold it means.
    Expire: ({ by }) => (state.current.by === by ? Effect.asVoid(state.set({ by: null })) : Effect.void),
    Holder: () => Effect.sync(() => state.current.by)
  })
)
