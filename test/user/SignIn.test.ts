import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Settings from "../../src/config/Settings.ts"
import type { ConnectError } from "../../src/errors.ts"
import { RateLimiter, rules } from "../../src/rate/RateLimiter.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import * as Guesses from "../../src/user/Guesses.ts"
import * as UserPart from "../../src/user/UserPart.ts"
import { it, withLayer } from "../kit/effect.ts"
import { call, layerWith, person, request } from "./services.ts"

const limited = Settings.layerTest((settings) => ({ ...settings, rateLimit: { enabled: true } }))

/** Milliseconds after which the account's rule lets one more through. */
const pace = 3_600_000 / rules.signInAccount.limit

let addresses = 0
/** A request from an address that nobody has been seen at. */
const elsewhere = () => ({ ...request(), address: `198.51.${++addresses >> 8}.${addresses & 255}` })

const attempt = (handle: string, password: string, context = elsewhere()) =>
  Effect.flatMap(UserPart.part, ({ Mutation }) =>
    Effect.match(call(Mutation.signIn, { handle, password }, context), {
      onFailure: (error: ConnectError) => error,
      onSuccess: () => "signed in" as const
    })
  )

/** Guesses from as many addresses until the account's rule is used up. */
const guessAt = (handle: string) =>
  Effect.replicateEffect(
    Effect.suspend(() => attempt(handle, "wrong horse")),
    rules.signInAccount.burst
  )

const tagOf = (outcome: ConnectError | "signed in") => (outcome === "signed in" ? outcome : outcome._tag)

withLayer("signing in under limits", layerWith(limited), (test) => {
  test("guesses at one account are limited wherever they come from, the same whether or not it exists", () =>
    Effect.gen(function* () {
      const { user } = yield* person()
      for (const handle of [user.handle, "nobody_at_all"]) {
        expect(new Set((yield* guessAt(handle)).map(tagOf))).toEqual(new Set(["InvalidCredentials"]))
        const refused = yield* attempt(handle, "correct horse")
        if (typeof refused === "string" || refused._tag !== "RateLimited") throw new Error(`not refused: ${handle}`)
        expect(refused.rule).toBe("sign_in_account")
        expect(refused.retryAfterMillis).toBeWithin(pace - 30_000, pace + 1)
      }
      expect(tagOf(yield* attempt((yield* person()).user.handle, "correct horse"))).toBe("signed in")
    }))

  test("strangers who guess do not keep the owner out of where the owner has signed in before", () =>
    Effect.gen(function* () {
      const { user } = yield* person()
      const home = elsewhere()
      expect(yield* attempt(user.handle, "correct horse", home)).toBe("signed in")
      yield* guessAt(user.handle)
      expect(tagOf(yield* attempt(user.handle, "correct horse"))).toBe("RateLimited")
      expect(yield* attempt(user.handle, "correct horse", home)).toBe("signed in")
    }))

  test("guesses from an address that is known have a limit as well", () =>
    Effect.gen(function* () {
      const { user } = yield* person()
      const home = elsewhere()
      yield* attempt(user.handle, "correct horse", home)
      const charge = yield* (yield* Guesses.make).charge(user.handle, home.address)
      yield* (yield* RateLimiter).consume({ ...charge, cost: rules.signInAccount.burst })
      expect(yield* attempt(user.handle, "correct horse", home)).toMatchObject({ rule: "sign_in_account" })
    }))

  test("one address has its limit whatever accounts it asks for", () =>
    Effect.gen(function* () {
      const here = elsewhere()
      for (let n = 0; n < rules.signIn.burst; n++)
        expect(tagOf(yield* attempt(`nobody_${n}`, "wrong horse", here))).toBe("InvalidCredentials")
      const refused = yield* attempt("nobody_else", "wrong horse", here)
      expect(refused).toMatchObject({ _tag: "RateLimited", rule: "sign_in" })
    }))
})

it("what was given as a handle stands in no key", () =>
  Effect.gen(function* () {
    const guesses = yield* Guesses.make
    const charge = yield* guesses.charge("correct horse", "192.0.2.1")
    expect(charge.key).not.toContain("horse")
    yield* guesses.know("correct horse", "192.0.2.1")
    const known = yield* guesses.charge("correct horse", "192.0.2.1")
    expect(known.key).not.toBe(charge.key)
    expect(known.key).not.toContain("horse")
    expect(yield* guesses.charge("correct horse", "192.0.2.2")).toEqual(charge)
  }).pipe(Effect.provide(StoreMemory.layer)))
