import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Actor from "../../../src/actor/Actor.ts"

/** Lines that a listener may be behind before it misses the oldest. */
const linesBehindMax = 100

/** Says to all who listen what one says. It is not idle while somebody listens. */
export const Room = Actor.make("Room", {
  protocol: [
    Rpc.make("Say", { payload: { line: Schema.String }, success: Schema.Int }),
    Rpc.make("Listen", { success: Schema.String, stream: true })
  ]
})

export const layer = Room.toLayer(() =>
  Effect.gen(function* () {
    const lines = yield* PubSub.sliding<string>({ capacity: linesBehindMax, replay: 10 })
    let said = 0
    return {
      Say: ({ line }) => Effect.as(PubSub.publish(lines, line), ++said),
      Listen: () => Stream.fromPubSub(lines)
    }
  })
)
