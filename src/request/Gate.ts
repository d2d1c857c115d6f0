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

/** Who was let in, and what is left to them. */
export interface Entered {
  readonly identity: Identity
  readonly quotas: ReadonlyArray<Quota>
}

const anonymous: Identity = { session: Option.none() }
const unlimited: Effect.Effect<ReadonlyArray<Quota>> = Effect.succeed([])

/** What every operation passes before any work, over HTTP and sockets alike. */
export class Gate extends Context.Tag("@connect/Gate")<
  Gate,
  {
    /** The whole way in: charges the address, finds the session of the token, charges its user. */
    readonly enter: (address: string, token: string | undefined) => Effect.Effect<Entered, RateLimited>
    /** One more operation of somebody who is in already. */
    readonly again: (address: string, identity: Identity) => Effect.Effect<ReadonlyArray<Quota>, RateLimited>
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

    const ofAddress = (address: string) => (enabled ? limiter.consume({ rule: rules.ip, key: address }) : unlimited)

    const identify = (token: string | undefined): Effect.Effect<Identity> =>
      token === undefined
        ? Effect.succeed(anonymous)
        : Effect.match(sessions.load(token), {
            onSuccess: (session): Identity => ({ session: Option.some(session) }),
            onFailure: (sessionFailure): Identity => ({ session: Option.none(), sessionFailure })
          })

    const withUser = (charged: ReadonlyArray<Quota>, identity: Identity): Effect.Effect<Entered, RateLimited> =>
      Option.isNone(identity.session) || !enabled
        ? Effect.succeed({ identity, quotas: charged })
        : Effect.map(limiter.consume({ rule: rules.user, key: identity.session.value.userId }), (more) => ({
            identity,
            quotas: [...charged, ...more]
          }))

    return {
      // The address first: finding the session of a made-up token costs a read.
      enter: (address, token) =>
        Effect.flatMap(ofAddress(address), (charged) =>
          Effect.flatMap(identify(token), (identity) => withUser(charged, identity))
        ),
      again: (address, identity) =>
        Effect.flatMap(ofAddress(address), (charged) =>
          Effect.map(withUser(charged, identity), ({ quotas }) => quotas)
        ),
      identify,
      ended: sessions.ended
    }
  })
)
