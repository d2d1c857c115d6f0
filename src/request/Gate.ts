import * as Context from "effect/Context"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { Settings } from "../config/Settings.ts"
import type { DatabaseUnavailable, RateLimited, Restricted, SessionExpired } from "../errors.ts"
import type { Charge, Quota } from "../rate/RateLimiter.ts"
import { RateLimiter, rules } from "../rate/RateLimiter.ts"
import type { Session } from "../session/Sessions.ts"
import { Sessions } from "../session/Sessions.ts"
import { exitOf } from "./immediate.ts"

/** Whose request it is, as far as its token tells. */
export interface Identity {
  readonly session: Option.Option<Session>
  /** Why a token that came has no session. The request goes on: it may be a sign-in. */
  readonly sessionFailure?: SessionExpired | Restricted | DatabaseUnavailable
}

/** Who was let in, and what is left to them. */
export interface Entered {
  readonly identity: Identity
  readonly quotas: ReadonlyArray<Quota>
}

const anonymous: Identity = { session: Option.none() }
const unlimited: ReadonlyArray<Quota> = []

type NoSession = NonNullable<Identity["sessionFailure"]>

const identities = {
  onSuccess: (session: Session): Identity => ({ session: Option.some(session) }),
  onFailure: (sessionFailure: NoSession): Identity => ({ session: Option.none(), sessionFailure })
}

/** What every operation passes before any work, over HTTP and sockets alike. */
export class Gate extends Context.Tag("@connect/Gate")<
  Gate,
  {
    /**
     * The whole way in: charges the address, finds the session of the token, charges its user. Begins at once, and is an
     * Exit where this process knows all that.
     */
    readonly enter: (address: string, token: string | undefined) => Effect.Effect<Entered, RateLimited>
    /** The session of a token, or why there is none; never fails. */
    readonly identify: (token: string | undefined) => Effect.Effect<Identity>
    /** Calls `told` with the reason when the session ends before its time, for as long as the scope lives. */
    readonly whenEnded: (session: Session, told: (reason: string) => void) => Effect.Effect<void, never, Scope.Scope>
  }
>() {}

export const layer: Layer.Layer<Gate, never, Settings | Sessions | RateLimiter> = Layer.effect(
  Gate,
  Effect.gen(function* () {
    const settings = yield* Settings
    const sessions = yield* Sessions
    const limiter = yield* RateLimiter
    const { enabled } = settings.rateLimit

    const identify = (token: string | undefined): Effect.Effect<Identity> =>
      token === undefined ? Exit.succeed(anonymous) : Effect.match(sessions.load(token), identities)

    const known = (token: string | undefined): Identity | undefined => {
      if (token === undefined) return anonymous
      const session = sessions.known(token)
      if (session === undefined) return undefined
      if (Exit.isSuccess(session)) return identities.onSuccess(session.value)
      const failure = Cause.failureOption(session.cause)
      return Option.isNone(failure) ? undefined : identities.onFailure(failure.value)
    }

    /** An Exit where this process counts by itself. */
    const charge = (...charges: ReadonlyArray<Charge>) =>
      enabled ? (limiter.counted(...charges) ?? limiter.consume(...charges)) : Exit.succeed(unlimited)

    const ofAddress = (address: string): Charge => ({ rule: rules.ip, key: address })
    const ofUser = ({ userId }: Session): Charge => ({ rule: rules.user, key: userId })

    /** Both limits at once, and in one round trip. */
    const enterAs = (address: string, identity: Identity): Effect.Effect<Entered, RateLimited> => {
      const { session } = identity
      const charged = Option.isSome(session)
        ? charge(ofAddress(address), ofUser(session.value))
        : charge(ofAddress(address))
      const exit = exitOf(charged)
      if (exit === undefined) return Effect.map(charged, (quotas) => ({ identity, quotas }))
      return Exit.isSuccess(exit) ? Exit.succeed({ identity, quotas: exit.value }) : Exit.failCause(exit.cause)
    }

    /** The address first: finding the session of a made-up token costs a read. */
    const enterUnknown = (address: string, token: string | undefined): Effect.Effect<Entered, RateLimited> => {
      const charged = charge(ofAddress(address))
      const exit = exitOf(charged)
      if (exit !== undefined && Exit.isFailure(exit)) return Exit.failCause(exit.cause)
      return Effect.flatMap(charged, (quotas) =>
        Effect.flatMap(identify(token), (identity) =>
          Option.isNone(identity.session)
            ? Effect.succeed({ identity, quotas })
            : Effect.map(charge(ofUser(identity.session.value)), (more) => ({
                identity,
                quotas: [...quotas, ...more]
              }))
        )
      )
    }

    return {
      enter: (address, token) => {
        const identity = known(token)
        return identity === undefined ? enterUnknown(address, token) : enterAs(address, identity)
      },
      identify,
      whenEnded: sessions.whenEnded
    }
  })
)
