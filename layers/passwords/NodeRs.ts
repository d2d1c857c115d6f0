import { hash, verify } from "@node-rs/argon2"
import * as Effect from "effect/Effect"
import { cost } from "../../src/user/Passwords.ts"
import type { Argon2 } from "./Argon2.ts"

/** argon2id in Rust on the thread pool of Node or Deno. argon2id is the package's default algorithm. */
export const argon2: Argon2 = {
  hash: (password) =>
    Effect.promise(() =>
      hash(password, { memoryCost: cost.memoryKibibytes, timeCost: cost.passes, parallelism: cost.lanes })
    ),
  verify: (password, phc) => Effect.promise(() => verify(phc, password).catch(() => false))
}
