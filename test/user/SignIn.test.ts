import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Settings from "../../src/config/Settings.ts"
import { Global, SessionId } from "../../src/domain/Ids.ts"
import { type ConnectError, StoreUnavailable } from "../../src/errors.ts"
import { RateLimiter, rules } from "../../src/rate/RateLimiter.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { provenFor } from "../../src/user/Authentication.ts"
import * as Guesses from "../../src/user/Guesses.ts"
import * as UserPart from "../../src/user/UserPart.ts"
import { Users } from "../../src/user/Users.ts"
import { it, withLayer } from "../kit/effect.ts"
import { call, layerWith, person, request, signedIn } from "./services.ts"

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

  test("the password that changes it, and that ends other sessions, is guessed at no oftener", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const session = yield* signedIn(yield* person())
      const old = { ...session, createdAt: new Date(Date.now() - Duration.toMillis(provenFor) - 1_000) }
      const guesses = [
        call(Mutation.changePassword, { current: "wrong horse", next: "correct horse 2" }, request(session)),
        call(Mutation.revokeAllSessions, { password: "wrong horse" }, request(old))
      ]
      for (let n = 0; n < rules.signInAccount.burst; n++)
        expect(yield* Effect.flip(guesses[n % 2]!)).toMatchObject({ _tag: "InvalidCredentials" })
      for (const guess of guesses) expect(yield* Effect.flip(guess)).toMatchObject({ rule: "sign_in_account" })
    }))

  test("an address is known by who signed up or in there, not by who tried to", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const guesses = yield* Guesses.make
      const [home, elsewhereToo, strange] = [elsewhere(), elsewhere(), elsewhere()]
      yield* call(Mutation.signUp, { handle: "known_owner", password: "correct horse" }, home)
      yield* attempt("known_owner", "correct horse", elsewhereToo)
      yield* attempt("known_owner", "wrong horse", strange)
      const { key } = yield* guesses.charge("known_owner", strange.address)
      const keys = yield* Effect.forEach([home, elsewhereToo, elsewhere()], ({ address }) =>
        Effect.map(guesses.charge("known_owner", address), (charge) => charge.key === key)
      )
      expect(keys).toEqual([false, false, true])
    }))

  test("one address makes no more accounts and guests than its limit", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const here = elsewhere()
      for (let n = 0; n < rules.signUp.burst; n++)
        yield* n % 2 === 0
          ? call(Mutation.signInAsGuest, {}, here)
          : call(Mutation.signUp, { handle: `neighbour_${n}`, password: "correct horse" }, here)
      for (const made of [
        call(Mutation.signInAsGuest, {}, here),
        call(Mutation.signUp, { handle: "neighbour_last", password: "correct horse" }, here)
      ])
        expect(yield* Effect.flip(made)).toMatchObject({ rule: "sign_up" })
    }))

  test("a sign-in whose password is changed before its session begins is refused", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const users = yield* Users
      const { user } = yield* person()
      const change = sql`update users set password_hash = 'another' where id = ${user.id}::uuid`
      const authenticate: typeof users.authenticate = (...args) =>
        Effect.tap(users.authenticate(...args), Effect.orDie(change))
      const outcome = yield* Effect.provideService(attempt(user.handle, "correct horse"), Users, {
        ...users,
        authenticate
      })
      expect(tagOf(outcome)).toBe("InvalidCredentials")
    }))

  test("ending the session that one is in clears its cookie, ending another does not", () =>
    Effect.gen(function* () {
      const { Mutation } = yield* UserPart.part
      const account = yield* person()
      const [session, other] = [yield* signedIn(account), yield* signedIn(account)]
      const context = request(session)
      const idOf = ({ id }: { readonly id: SessionId }) => Schema.encodeSync(Global("Session", SessionId))(id)
      yield* call(Mutation.revokeSession, { id: idOf(other) }, context)
      expect(context.cookies).toEqual([])
      yield* call(Mutation.revokeSession, { id: idOf(session) }, context)
      expect(context.cookies).toEqual([null])
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

it("an address is known for thirty days, and none while the store is away", () =>
  Effect.gen(function* () {
    const store = yield* Store
    const guesses = yield* Guesses.make
    yield* guesses.know("ada", "192.0.2.1")
    const [strange, known] = [yield* guesses.charge("ada", "192.0.2.2"), yield* guesses.charge("ada", "192.0.2.1")]
    yield* TestClock.adjust(Duration.subtract(Guesses.knownFor, "1 second"))
    expect(yield* guesses.charge("ada", "192.0.2.1")).toEqual(known)
    const get = () => new StoreUnavailable({ operation: "get", cause: new Error("away") })
    const away = yield* Effect.provideService(Guesses.make, Store, { ...store, get })
    expect(yield* away.charge("ada", "192.0.2.1")).toEqual(strange)
    yield* TestClock.adjust("1 second")
    expect(yield* guesses.charge("ada", "192.0.2.1")).toEqual(strange)
  }).pipe(Effect.provide(StoreMemory.layer)))

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
