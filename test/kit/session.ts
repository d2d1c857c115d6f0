import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { EndReason, Session, Sessions } from "../../src/session/Sessions.ts"

/** Completes with the reason when the session ends early. */
export const ended = ({ whenEnded }: typeof Sessions.Service, session: Session): Effect.Effect<EndReason> =>
  Effect.gen(function* () {
    const reason = yield* Deferred.make<EndReason>()
    yield* whenEnded(session, (why) => Deferred.unsafeDone(reason, Effect.succeed(why)))
    return yield* Deferred.await(reason)
  }).pipe(Effect.scoped)
