import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Settings } from "../config/Settings.ts"
import type { DatabaseUnavailable, RateLimited, SessionExpired } from "../errors.ts"
import type { Quota } from "../rate/RateLimiter.ts"
import { RateLimiter, rules } from "../rate/RateLimiter.ts"
import type { Session } from "../session/Sessions.ts"
import { Sessions } from "../session/Sessions.ts"

/** Whose request it is, as far as its token tells. */
export interface Identity {
  readonly session: Option.Option<Session>
  /** Why a token that came has no session. The request goes on: it may be a sign-in. */
  readonly sessionFailure?: SessionExpired | DatabaseUnavailable
}

const anonymous: Identity = { session: Option.none() }
const unlimited: Effect.Effect<ReadonlyArray<Quota>> = Effect.succeed([])

/** What every operation passes before any work, over HTTP and sockets alike. */
export class Gate extends Context.Tag("@connect/Gate")<
  Gate,
  {
    /** Charges the address, before anything else is looked at. */
    readonly address: (address: string) => Effect.Effect<ReadonlyArray<Quota>, RateLimited>
    /** Charges the viewer. */
    readonly viewer: (session: Session) => Effect.Effect<ReadonlyArray<Quota>, RateLimited>
    /** The session of a token, or why there is none; never fails. */
    readonly identify: (token: string | undefined) => Effect.Effect<Identity>
    /** Completes with the reason when the session ends before its time. */
    readonly ended: (session: Session) => Effect.Effect<string>
  }
>() {}

export const layer: Layer.Layer<Gate, never, Settings | Sessions | RateLimiter> = Layer.effect(
  Gate,
  Effect.gen(function* () {
    const settings = yield* Settings
    const sessions = yield* Sessions
    const limiter = yield* RateLimiter
    const { enabled } = settings.rateLimit
    return {
      address: (address) => (enabled ? limiter.consume({ rule: rules.ip, key: address }) : unlimited),
      viewer: (session) => (enabled ? limiter.consume({ rule: rules.user, key: session.userId }) : unlimited),
      identify: (token) =>
        token === undefined
          ? Effect.succeed(anonymous)
          : Effect.match(sessions.load(token), {
              onSuccess: (session): Identity => ({ session: Option.some(session) }),
              onFailure: (sessionFailure): Identity => ({ session: Option.none(), sessionFailure })
            }),
      ended: sessions.ended
    }
  })
)
