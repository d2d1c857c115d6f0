import * as Context from "effect/Context"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { Settings } from "../config/Settings.ts"
import type { DatabaseUnavailable, RateLimited, Restricted, SessionExpired } from "../errors.ts"
import type { Quota } from "../rate/RateLimiter.ts"
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

const anonymous = Exit.succeed<Identity>({ session: Option.none() })
const unlimited = Exit.succeed<ReadonlyArray<Quota>>([])

type NoSession = NonNullable<Identity["sessionFailure"]>

const identities = {
  onSuccess: (session: Session): Identity => ({ session: Option.some(session) }),
  onFailure: (sessionFailure: NoSession): Identity => ({ session: Option.none(), sessionFailure })
}

/** What `Sessions.known` says; it never dies. */
const identifying = {
  onSuccess: (session: Session) => Exit.succeed(identities.onSuccess(session)),
  onFailure: (cause: Cause.Cause<NoSession>) =>
    Option.match(Cause.failureOption(cause), {
      onNone: () => undefined,
      onSome: (failure) => Exit.succeed(identities.onFailure(failure))
    })
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
    /** One more operation of somebody who is in already. */
    readonly again: (address: string, identity: Identity) => Effect.Effect<ReadonlyArray<Quota>, RateLimited>
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
      token === undefined ? anonymous : Effect.match(sessions.load(token), identities)

    const known = (token: string | undefined): Exit.Exit<Identity> | undefined => {
      if (token === undefined) return anonymous
      const session = sessions.known(token)
      return session === undefined ? undefined : Exit.match(session, identifying)
    }

    const withUser = (charged: ReadonlyArray<Quota>, identity: Identity): Effect.Effect<Entered, RateLimited> => {
      if (Option.isNone(identity.session) || !enabled) return Exit.succeed({ identity, quotas: charged })
      const charge = { rule: rules.user, key: identity.session.value.userId }
      const more = limiter.counted(charge)
      const entered = (all: ReadonlyArray<Quota>): Entered => ({ identity, quotas: [...charged, ...all] })
      return more === undefined ? Effect.map(limiter.consume(charge), entered) : Exit.map(more, entered)
    }

    // The address first: finding the session of a made-up token costs a read. What is known here takes no fiber.
    const enter = (address: string, identified: Effect.Effect<Identity>): Effect.Effect<Entered, RateLimited> => {
      const charge = { rule: rules.ip, key: address }
      const charged = enabled ? (limiter.counted(charge) ?? limiter.consume(charge)) : unlimited
      const quotas = exitOf(charged)
      const identity = exitOf(identified)
      if (quotas === undefined) {
        const who = identity !== undefined && Exit.isSuccess(identity) ? identity.value : undefined
        // Both limits in one round trip.
        if (who !== undefined && Option.isSome(who.session)) {
          const ofUser = { rule: rules.user, key: who.session.value.userId }
          return Effect.map(limiter.consume(charge, ofUser), (all): Entered => ({ identity: who, quotas: all }))
        }
        return Effect.flatMap(charged, (all) => Effect.flatMap(identified, (who) => withUser(all, who)))
      }
      if (Exit.isFailure(quotas)) return Exit.failCause(quotas.cause)
      return identity !== undefined && Exit.isSuccess(identity)
        ? withUser(quotas.value, identity.value)
        : Effect.flatMap(identified, (who) => withUser(quotas.value, who))
    }

    return {
      enter: (address, token) => enter(address, known(token) ?? identify(token)),
      again: (address, identity) =>
        Effect.suspend(() => Effect.map(enter(address, Exit.succeed(identity)), ({ quotas }) => quotas)),
      identify,
      whenEnded: sessions.whenEnded
    }
  })
)
