import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as PasswordsLayer from "../../layers/Passwords.ts"
import { needsRehash, NewPassword, Passwords } from "../../src/user/Passwords.ts"
import { it } from "../kit/effect.ts"

const secret = Redacted.make("correct horse")

for (const [name, layer, other] of [
  ["Bun.password", PasswordsLayer.layerBun, PasswordsLayer.layerNodeRs],
  ["@node-rs/argon2", PasswordsLayer.layerNodeRs, PasswordsLayer.layerBun]
] as const) {
  it.live(`${name}: the right password verifies, another does not, and the other runtime agrees`, () =>
    Effect.gen(function* () {
      const passwords = yield* Effect.provide(Passwords, layer)
      const elsewhere = yield* Effect.provide(Passwords, other)
      const hash = yield* passwords.hash(secret)
      expect(hash).toStartWith("$argon2id$v=19$m=19456,t=2,p=1$")
      expect(needsRehash(hash)).toBe(false)
      expect(yield* passwords.verify(secret, hash)).toBe(true)
      expect(yield* passwords.verify(Redacted.make("correct horsE"), hash)).toBe(false)
      expect(yield* elsewhere.verify(secret, hash)).toBe(true)
      expect(yield* elsewhere.verify(Redacted.make(""), hash)).toBe(false)
    })
  )

  it.live(`${name}: what is no hash verifies nothing`, () =>
    Effect.gen(function* () {
      const passwords = yield* Effect.provide(Passwords, layer)
      for (const hash of ["", "x", "$argon2id$v=19$m=19456,t=2,p=1$$", "$2b$10$abcdefghijklmnopqrstuv"])
        expect(yield* passwords.verify(secret, hash)).toBe(false)
    })
  )
}

it("a hash of another cost is to be renewed", () =>
  Effect.sync(() => {
    expect(needsRehash("$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHQ$aGFzaA")).toBe(true)
    expect(needsRehash("$2b$10$whatever")).toBe(true)
  }))

it("a password has 8 to 256 bytes and no control characters, and no error repeats it", () =>
  Effect.sync(() => {
    const decode = Schema.decodeUnknownEither(NewPassword)
    expect(Either.isRight(decode("8 bytes!"))).toBe(true)
    expect(Either.isRight(decode("ü".repeat(4)))).toBe(true)
    expect(Either.isRight(decode("x".repeat(256)))).toBe(true)
    for (const bad of ["seven77", "x".repeat(257), "ü".repeat(129), "line\nbreak", "nul\u0000nul", "\ud800surrogate"]) {
      const refused = decode(bad)
      expect(Either.isLeft(refused)).toBe(true)
      if (Either.isLeft(refused)) expect(refused.left.message).not.toContain(bad.slice(0, 7))
    }
  }))
