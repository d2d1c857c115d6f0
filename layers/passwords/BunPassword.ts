import * as Effect from "effect/Effect"
import { cost } from "../../src/user/Passwords.ts"
import type { Argon2 } from "./Argon2.ts"

/** Bun's own argon2id, computed on its thread pool. */
export const argon2: Argon2 = {
  hash: (password) =>
    Effect.promise(() =>
      Bun.password.hash(password, {
        algorithm: "argon2id",
        memoryCost: cost.memoryKibibytes,
        timeCost: cost.passes
      })
    ),
  verify: (password, hash) => Effect.promise(() => Bun.password.verify(password, hash, "argon2id").catch(() => false))
}
