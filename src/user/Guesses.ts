import { hash } from "node:crypto"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Charge, rules } from "../rate/RateLimiter.ts"
import { Store } from "../store/Store.ts"

/** How long an address is known after its owner was there: as long as a session may live. */
export const knownFor = Duration.days(30)

/** What is typed as a handle may be a password by mistake, and where people are is theirs: neither is kept as it is. */
const digest = (...parts: ReadonlyArray<string>): string => hash("sha256", JSON.stringify(parts), "base64url")

/**
 * What guesses at the password of one account are charged to, wherever they come from and whether or not there is such an
 * account. Strangers share one count; an address where its owner has signed up or in before has a count of its own, so that
 * strangers who use up theirs do not keep the owner out. While the store is away no address is known.
 */
export const make = Effect.map(Store, (store) => {
  const keyOf = (handle: string, address: string): string => `known_address:${digest(handle, address)}`
  return {
    charge: (handle: string, address: string): Effect.Effect<Charge> =>
      store.get(keyOf(handle, address)).pipe(
        Effect.orElseSucceed(Option.none),
        Effect.map((known) => ({
          rule: rules.signInAccount,
          key: Option.isSome(known) ? digest(handle, address) : digest(handle)
        }))
      ),
    /** Whoever is there is the account's owner. */
    know: (handle: string, address: string): Effect.Effect<void> =>
      Effect.ignore(store.set(keyOf(handle, address), "1", { ttl: knownFor }))
  }
})
